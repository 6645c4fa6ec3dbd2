"""What every emulated servo has: memory with power-on rules, a clock that counts firmware periods, a half bridge.

A servo is firmware: it sees its shaft, its winding current, its temperature and its supply, and it decides the duty
of its bridge. It has no idea of time but its own periods. Everything is in ticks and register units in here; the one
place where radians enter is `EmulatedServo.step`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Final

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.plant import Bridge
from robot_mbrl.drivers.arms import TICKS_PER_RAD
from robot_mbrl.drivers.registers import ControlTable, Register
from robot_mbrl.drivers.virtual.profile import TrapezoidProfile
from robot_mbrl.drivers.virtual.shaft import Shaft

BROWN_OUT_VOLTAGE: Final = 3.0
"""Supply [V] below which the servo's controller resets. The controllers run on 3.3 V; an assumption, no source."""

_VOLTAGE_FILTER: Final = 0.05
"""Time constant [s] of the supply measurement; an assumption: a spike of one period must not trip a servo."""


class EmulatedServo(ABC):
    """One servo on the bus.

    Attributes:
        name: joint name.
        table: its registers.
        memory: the control table as it is now, EEPROM and RAM.
        shaft: how it is mounted.
        duty: what the bridge does, in -1..1 of the supply, positive turns the joint positive.
        bridge: open or driven.
        silent: does not hear and does not answer (a broken data wire); goes on holding.
        connected: on the bus, with data and power.
        eeprom_dirty: the EEPROM changed since somebody last looked.
    """

    boot_time: ClassVar[float]
    """How long the servo is deaf after a reboot [s]."""
    baud_rates: ClassVar[Mapping[int, int]]
    """Bits per second of each code in the register `baud_rate`."""

    def __init__(self, name: str, table: ControlTable, shaft: Shaft, position_gain: float, timestep: float) -> None:
        self.name = name
        self.table = table
        self.memory = bytearray(table.size)
        self.duty = 0.0
        self.bridge = int(Bridge.OPEN)
        self.silent = False
        self.connected = True
        self.eeprom_dirty = False
        self.shaft = shaft
        self._duty_per_tick = position_gain / TICKS_PER_RAD
        self._timestep = timestep
        self._profile = TrapezoidProfile(timestep)
        self._eeprom = bytearray(table.size)
        self._boot_periods = 0
        self._powered = True
        self._pending_write: tuple[int, bytes] | None = None
        self._raw = 0.0
        self._velocity = 0.0
        self._current = 0.0
        self._temperature = 25.0
        self._voltage = 0.0
        self._voltage_alpha = min(1.0, timestep / _VOLTAGE_FILTER)
        self._registers_at: list[Register | None] = [None] * table.size
        for register in table:
            for address in range(register.address, register.address + register.size):
                self._registers_at[address] = register
            data = register.encode(register.default)
            self.memory[register.address : register.address + register.size] = data
        self._eeprom[:] = self.memory
        self._id_address = table["id"].address
        self._baud_address = table["baud_rate"].address

    @property
    def listening(self) -> bool:
        """Whether the servo takes part in the conversation on the bus."""
        return self._powered and self._boot_periods == 0 and not self.silent

    @property
    def powered(self) -> bool:
        """Whether the controller runs."""
        return self._powered

    @property
    def id(self) -> int:
        """The ID that it answers to."""
        return self.memory[self._id_address]

    @property
    def baud(self) -> int:
        """Bits per second that it is set to."""
        return self.baud_rates[self.memory[self._baud_address]]

    @property
    def return_delay(self) -> float:
        """What the servo waits before it answers by its own setting [s]."""
        return 0.0

    @property
    def eeprom(self) -> bytes:
        """What survives without power: the table's size, with every RAM register at its default."""
        return bytes(self._eeprom)

    def get(self, name: str) -> int:
        """The value that a register holds in memory; what the servo measures is brought up to date first."""
        self._refresh()
        return self._get(name)

    def delay_commands(self, delay: float) -> None:
        """Let position goals take effect `delay` [s] after they have arrived."""
        self._profile.delay = round(delay / self._timestep)

    def burn(self, name: str, value: int) -> None:
        """Set a register as the factory would: past all access rules, and kept without power if it is EEPROM."""
        register = self.table[name]
        data = register.encode(value)
        self.memory[register.address : register.address + register.size] = data
        if register.eeprom:
            self._eeprom[register.address : register.address + register.size] = data
            self.eeprom_dirty = True
        self._configure()

    def burn_baud(self, baud: int) -> None:
        """Set the baud rate [bit/s] as the factory would.

        Raises:
            ConfigError: the servo has no such rate.
        """
        codes = [code for code, rate in self.baud_rates.items() if rate == baud]
        if not codes:
            rates = ", ".join(str(rate) for rate in self.baud_rates.values())
            raise ConfigError(f"{self.name}: a {self.table.servo} cannot run at {baud} baud: give one of {rates}")
        self.burn("baud_rate", codes[0])

    def load_eeprom(self, data: bytes) -> None:
        """Put back what an earlier `eeprom` returned, then power up.

        Raises:
            ValueError: `data` is not of this servo's EEPROM size.
        """
        if len(data) != len(self._eeprom):
            raise ValueError(f"{self.name}: {len(data)} bytes are not the EEPROM of a {self.table.servo}")
        self._eeprom[:] = data
        self.power_on()

    def power_on(self, boot_time: float = 0.0) -> None:
        """Start from EEPROM; deaf for `boot_time` [s]."""
        for register in self.table:
            place = slice(register.address, register.address + register.size)
            self.memory[place] = self._eeprom[place] if register.eeprom else register.encode(register.default)
        self._powered = True
        self._boot_periods = round(boot_time / self._timestep)
        self._pending_write = None
        self.duty = 0.0
        self.bridge = int(Bridge.OPEN)
        self._on_power_up()
        self._configure()

    def disconnect(self) -> None:
        """Take the servo off the bus: no data, no power."""
        self.connected = False
        self._powered = False
        self.duty = 0.0
        self.bridge = int(Bridge.OPEN)

    def connect(self) -> None:
        """Put the servo on the bus; it starts with the next period."""
        self.connected = True

    def reboot(self) -> None:
        """Restart, as on the reboot instruction."""
        self.power_on(self.boot_time)

    def step(self, position: float, velocity: float, current: float, temperature: float, voltage: float) -> None:
        """Run one firmware period: sense, protect, drive.

        Args:
            position: angle of the shaft, model frame [rad].
            velocity: its rate [rad/s].
            current: winding current, positive drives the joint positive [A].
            temperature: [°C].
            voltage: supply [V].
        """
        shaft = self.shaft
        sign = shaft.sign
        self._raw = shaft.zero_tick + sign * (position + shaft.zero_offset) * TICKS_PER_RAD
        self._velocity = sign * velocity * TICKS_PER_RAD
        self._current = sign * current
        self._temperature = temperature
        if voltage < BROWN_OUT_VOLTAGE or not self.connected:
            self._powered = False
            self.duty = 0.0
            self.bridge = int(Bridge.OPEN)
            return
        if not self._powered:
            self._voltage = voltage
            self.power_on(self.boot_time)
        self._voltage += self._voltage_alpha * (voltage - self._voltage)
        if self._boot_periods:
            self._boot_periods -= 1
            return
        self.duty = sign * self._control()

    def sense(self, position: float, temperature: float, voltage: float) -> None:
        """Let the sensors settle on a resting shaft, so that a servo can be powered up knowing where it is.

        Args:
            position: angle of the shaft, model frame [rad].
            temperature: [°C].
            voltage: supply [V].
        """
        self._raw = self.shaft.ticks(position)
        self._temperature = temperature
        self._voltage = voltage

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes of memory from `address` on, with what the servo measures brought up to date."""
        self._refresh()
        return bytes(self.memory[address : address + size])

    @abstractmethod
    def on_instruction(self) -> None:
        """The servo has heard an instruction, whoever it was for: the host is alive."""

    def register_write(self, address: int, data: bytes) -> None:
        """Keep a write for `action`."""
        self._pending_write = (address, data)

    @abstractmethod
    def write(self, address: int, data: bytes) -> int:
        """Write under the access rules and return the error code of the servo's protocol, 0 for none."""

    @property
    def has_registered_write(self) -> bool:
        """Whether a write waits for `action`."""
        return self._pending_write is not None

    def action(self) -> None:
        """Carry out the registered write, if there is one."""
        if self._pending_write is not None:
            address, data = self._pending_write
            self._pending_write = None
            self.write(address, data)

    @abstractmethod
    def trip(self, fault: str) -> None:
        """Report and act as if the protection named `fault` had spoken: `overload`, `overheat` or `overcurrent`."""

    @abstractmethod
    def _on_power_up(self) -> None:
        """Set the RAM that does not start at its default."""

    @abstractmethod
    def _configure(self) -> None:
        """Take over the settings in memory; called whenever one of them has changed."""

    @abstractmethod
    def _refresh(self) -> None:
        """Put what the servo measures into memory."""

    @abstractmethod
    def _control(self) -> float:
        """One period of protection and control; sets `bridge` and returns the duty in the servo's own direction."""

    def _get(self, name: str) -> int:
        register = self.table[name]
        return register.decode(bytes(self.memory[register.address : register.address + register.size]))

    def _put(self, name: str, value: int) -> None:
        register = self.table[name]
        self.memory[register.address : register.address + register.size] = register.encode(value)
