"""The bench with a host for STS3215 servos."""

from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.feetech import codec
from robot_mbrl.drivers.virtual.feetech_servo import FeetechServo
from tests.drivers.virtual.workbench import Workbench

TABLE = control_table("sts3215")


class Feetech(Workbench):
    """The bench with an STS3215 host."""

    def read(self, name: str, servo_id: int = 1) -> int:
        register = TABLE[name]
        packets = codec.Decoder().feed(self.ask(codec.read(servo_id, register.address, register.size)))
        assert [packet.id for packet in packets] == [servo_id]
        return register.decode(packets[0].params)

    def write(self, name: str, value: int, servo_id: int = 1) -> int:
        register = TABLE[name]
        packets = codec.Decoder().feed(self.ask(codec.write(servo_id, register.address, register.encode(value))))
        assert [packet.id for packet in packets] == [servo_id]
        return packets[0].code

    @property
    def status(self) -> int:
        servo = self.servo()
        assert isinstance(servo, FeetechServo)
        return servo.status
