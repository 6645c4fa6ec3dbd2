"""The slow rota: temperature, voltage and current of one servo a cycle, so that no cycle becomes late."""

from collections.abc import Sequence

import numpy as np

from robot_mbrl.contracts.types import HardwareError, Health
from robot_mbrl.drivers.bus import ServoBus
from robot_mbrl.drivers.dialects import Dialect, Servo
from robot_mbrl.drivers.dynamixel.codec import hardware_errors
from robot_mbrl.drivers.units import ServoUnits


class HealthRota:
    """Reads one servo's slow registers a turn and keeps what it read. n servos, in the arm's order."""

    def __init__(self, bus: ServoBus, dialect: Dialect, servos: Sequence[Servo], units: Sequence[ServoUnits]) -> None:
        self._bus = bus
        self._dialect = dialect
        self._servos = servos
        self._units = units
        self._blocks = [dialect.health_block(servo.table) for servo in servos]
        self._next = 0
        count = len(servos)
        self.stamp_ns = np.full(count, -1, np.int64)
        self.temperature = np.full(count, np.nan)
        self.voltage = np.full(count, np.nan)
        self.current = np.full(count, np.nan)
        self.watchdog = np.zeros(count, np.int64)

    def poll_next(self) -> int:
        """Read the servo whose turn it is and return its index."""
        index = self._next
        self._next = (index + 1) % len(self._servos)
        self.poll(index)
        return index

    def poll(self, index: int) -> None:
        """Read one servo: voltage [V], temperature [°C] and, where it measures it, current [A]; its watchdog."""
        servo, block, units = self._servos[index], self._blocks[index], self._units[index]
        voltage, temperature, *current = block.decode(self._bus.read(servo.id, block.address, block.size))
        self.voltage[index] = voltage * units.voltage
        self.temperature[index] = temperature
        if current and units.current is not None:
            self.current[index] = current[0] * units.current
        self.stamp_ns[index] = self._bus.last_answer_ns
        if self._dialect.watchdog:
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
