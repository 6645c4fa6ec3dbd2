"""The bench with a host for Dynamixel X servos."""

from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.dynamixel import codec
from robot_mbrl.drivers.dynamixel.codec import Packet, ResultCode
from robot_mbrl.drivers.registers import ControlTable
from tests.drivers.virtual.workbench import Workbench

VELOCITY_UNIT = 0.229 * 4096 / 60
"""Ticks a second of one count of a velocity register."""
ALERT = 0x80
"""Bit of the error byte."""
XL430, XL330 = 1, 3
"""IDs of a servo of each kind in the Koch arm."""


class Dynamixel(Workbench):
    """The bench with a Dynamixel host."""

    def packets(self, data: bytes) -> list[Packet]:
        return codec.Decoder().feed(self.ask(data))

    def status(self, data: bytes) -> Packet:
        packets = self.packets(data)
        assert len(packets) == 1
        return packets[0]

    def read(self, name: str, servo_id: int = XL330) -> int:
        register = self._table(servo_id)[name]
        packet = self.status(codec.read(servo_id, register.address, register.size))
        assert packet.result == ResultCode.OK
        return register.decode(packet.params)

    def write(self, name: str, value: int, servo_id: int = XL330) -> int:
        """The error byte of the answer."""
        register = self._table(servo_id)[name]
        return self.status(codec.write(servo_id, register.address, register.encode(value))).error

    def _table(self, servo_id: int) -> ControlTable:
        return control_table("xl430-w250" if servo_id < XL330 else "xl330-m288")
