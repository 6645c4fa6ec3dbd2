"""The slow rota: temperature, voltage and current of one servo a cycle, so that no cycle becomes late."""

from collections.abc import Sequence

import numpy as np

from robot_mbrl.contracts.types import HardwareError, Health
from robot_mbrl.drivers.bus import ServoBus
from robot_mbrl.drivers.dialects import Dialect, Servo
from robot_mbrl.drivers.dynamixel.codec import hardware_errors
from robot_mbrl.drivers.units import ServoUnits


class HealthRota:
    """One transaction a turn, and what it brought. n servos, in the arm's order.

    The turns of one servo follow one another: voltage, temperature and current; its torque switch; its watchdog, where
    it has one. Then the next servo has its turns.
    """

    def __init__(
        self,
        bus: ServoBus,
        dialect: Dialect,
        servos: Sequence[Servo],
        units: Sequence[ServoUnits],
        signs: Sequence[int],
    ) -> None:
        self._signs = signs
        self._bus = bus
        self._dialect = dialect
        self._servos = servos
        self._units = units
        self._blocks = [dialect.health_block(servo.table) for servo in servos]
        self._readers = [self.poll, self._read_torque, *([self._read_watchdog] if dialect.watchdog else [])]
        self._turn = 0
        count = len(servos)
        self.stamp_ns = np.full(count, -1, np.int64)
        self.temperature = np.full(count, np.nan)
        self.voltage = np.full(count, np.nan)
        self.current = np.full(count, np.nan)
        self.torque = np.zeros(count, np.bool_)
        self.watchdog = np.zeros(count, np.int64)

    @property
    def turns(self) -> int:
        """Turns until every servo has had all of its own."""
        return len(self._readers) * len(self._servos)

    def poll_next(self) -> int:
        """Take the next turn and return the index of the servo that had it."""
        index, reader = divmod(self._turn, len(self._readers))
        self._turn = (self._turn + 1) % self.turns
        self._readers[reader](index)
        return index

    def poll_all(self) -> None:
        """Take every turn once, beginning with the first servo's."""
        self._turn = 0
        for _ in range(self.turns):
            self.poll_next()

    def poll(self, index: int) -> None:
        """Read one servo's voltage [V], temperature [°C] and, where it measures it, current [A]."""
        servo, block, units = self._servos[index], self._blocks[index], self._units[index]
        voltage, temperature, *current = block.decode(self._bus.read(servo.id, block.address, block.size))
        self.voltage[index] = voltage * units.voltage
        self.temperature[index] = temperature
        if current and units.current is not None:
            self.current[index] = self._signs[index] * current[0] * units.current
        self.stamp_ns[index] = self._bus.last_answer_ns

    def _read_torque(self, index: int) -> None:
        servo = self._servos[index]
        self.torque[index] = self._bus.read_register(servo.id, servo.register("torque_enable")) != 0

    def _read_watchdog(self, index: int) -> None:
        servo = self._servos[index]
        self.watchdog[index] = self._bus.read_register(servo.id, servo.register(self._dialect.watchdog))

    def read_hardware_error(self, index: int) -> HardwareError:
        """What the servo's hardware error register says, for protocols whose status byte only has an alert bit."""
        servo = self._servos[index]
        return hardware_errors(self._bus.read_register(servo.id, servo.register(self._dialect.hardware_error)))

    def snapshot(self, errors: Sequence[HardwareError]) -> Health:
        """A copy of what was last read, with `errors` as the cycle saw them."""
        return Health(
            stamp_ns=self.stamp_ns.copy(),
            temperature=self.temperature.copy(),
            voltage=self.voltage.copy(),
            current=self.current.copy(),
            hardware_error=tuple(errors),
        )
