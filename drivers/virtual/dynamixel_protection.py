"""The protections of an X-series servo: the register `hardware_error_status`, and whether it shuts the servo down.

Source: ROBOTIS e-Manual, "Shutdown(63)", "Hardware Error Status(70)". Errors stay until a reboot. What counts as an
overload is not published ("persistent load that exceeds maximum output"): here, the output at its limit for 1.5 s
while the shaft hardly turns. Electrical shock is never found by itself, it has to be injected.
"""

from typing import Final

VOLTAGE_ERROR, OVERHEAT_ERROR, SHOCK_ERROR, OVERLOAD_ERROR = 0x01, 0x04, 0x10, 0x20
_OVERLOAD_TIME: Final = 1.5
_OVERLOAD_SHARE: Final = 0.95
_STALL_SPEED: Final = 50.0
"""[ticks/s] below which the shaft hardly turns, 0.7 rpm."""


class DynamixelProtection:
    """Watches output, temperature and supply, one call a firmware period.

    Attributes:
        errors: the hardware error status.
        temperature_limit: [°C].
        lowest_voltage: [0.1 V].
        highest_voltage: [0.1 V].
        shutdown: mask of the errors that switch the torque off.
    """

    __slots__ = (
        "_overload_time", "_timestep", "errors", "highest_voltage", "lowest_voltage", "shutdown", "temperature_limit",
    )  # fmt: skip

    def __init__(self, timestep: float) -> None:
        self._timestep = timestep
        self._overload_time = 0.0
        self.errors = 0
        self.temperature_limit = 0
        self.lowest_voltage = 0
        self.highest_voltage = 0
        self.shutdown = 0

    def reset(self) -> None:
        """Forget everything, as at a reboot."""
        self.errors = 0
        self._overload_time = 0.0

    @property
    def shut_down(self) -> bool:
        """Whether an error has switched the torque off for good."""
        return bool(self.errors & self.shutdown)

    def step(self, duty: float, limit: float, velocity: float, temperature: float, voltage: float) -> None:
        """Judge one period.

        Args:
            duty: of the bridge, -1..1.
            limit: largest duty that the settings allow now.
            velocity: [ticks/s].
            temperature: [°C].
            voltage: [V].
        """
        stalled = limit > 0.0 and abs(duty) >= _OVERLOAD_SHARE * limit and abs(velocity) < _STALL_SPEED
        self._overload_time = self._overload_time + self._timestep if stalled else 0.0
        if self._overload_time >= _OVERLOAD_TIME:
            self.errors |= OVERLOAD_ERROR
        if temperature >= self.temperature_limit:
            self.errors |= OVERHEAT_ERROR
        if not self.lowest_voltage <= voltage * 10.0 <= self.highest_voltage:
            self.errors |= VOLTAGE_ERROR
