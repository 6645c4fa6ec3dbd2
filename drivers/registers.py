"""Control tables: the registers of a servo, declared once and used by the driver and by the emulated servo alike."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from robot_mbrl.contracts.errors import PacketValueError


class Encoding(Enum):
    """How a register holds a negative number."""

    UNSIGNED = "unsigned"
    TWOS_COMPLEMENT = "two's complement"
    SIGN_MAGNITUDE = "sign-magnitude"


@dataclass(frozen=True, slots=True)
class Register:
    """One register, little-endian.

    Attributes:
        name: the vendor's name in snake case.
        address: first byte in the control table.
        size: bytes, 1, 2 or 4.
        writable: whether the host may write it.
        eeprom: kept without power; writable only under the servo's EEPROM rule.
        default: factory value.
        minimum: smallest value that may be written; None for the smallest that the encoding holds.
        maximum: largest value that may be written; None for the largest that the encoding holds.
        encoding: how negative numbers are held.
        sign_bit: for sign-magnitude, the bit that is the sign.
    """

    name: str
    address: int
    size: int
    writable: bool = False
    eeprom: bool = False
    default: int = 0
    minimum: int | None = None
    maximum: int | None = None
    encoding: Encoding = Encoding.UNSIGNED
    sign_bit: int = 0

    @property
    def lowest(self) -> int:
        """Smallest value that the encoding holds."""
        if self.encoding is Encoding.TWOS_COMPLEMENT:
            return int(-(1 << (8 * self.size - 1)))
        return 1 - (1 << self.sign_bit) if self.encoding is Encoding.SIGN_MAGNITUDE else 0

    @property
    def highest(self) -> int:
        """Largest value that the encoding holds."""
        if self.encoding is Encoding.SIGN_MAGNITUDE:
            return int((1 << self.sign_bit) - 1)
        return int((1 << (8 * self.size - (self.encoding is Encoding.TWOS_COMPLEMENT))) - 1)

    def encode(self, value: int) -> bytes:
        """`value` as the register's bytes.

        Raises:
            PacketValueError: the encoding cannot hold `value`.
        """
        if not self.lowest <= value <= self.highest:
            raise PacketValueError(
                f"{self.name} = {value} does not fit its {self.size}-byte register: give {self.lowest}..{self.highest}"
            )
        if self.encoding is Encoding.SIGN_MAGNITUDE and value < 0:
            value = -value | 1 << self.sign_bit
        return value.to_bytes(self.size, "little", signed=value < 0)

    def decode(self, data: bytes) -> int:
        """The value of the register's bytes. Bits above a sign-magnitude register's sign bit are ignored.

        Raises:
            PacketValueError: `data` is not `size` bytes long.
        """
        if len(data) != self.size:
            raise PacketValueError(f"{self.name}: {len(data)} bytes cannot be its value: give {self.size}")
        if self.encoding is Encoding.SIGN_MAGNITUDE:
            raw = int.from_bytes(data, "little")
            magnitude = raw & ((1 << self.sign_bit) - 1)
            return -magnitude if raw >> self.sign_bit & 1 else magnitude
        return int.from_bytes(data, "little", signed=self.encoding is Encoding.TWOS_COMPLEMENT)

    def permits(self, value: int) -> bool:
        """Whether the servo takes `value` in a write."""
        low = self.lowest if self.minimum is None else self.minimum
        high = self.highest if self.maximum is None else self.maximum
        return low <= value <= high


@dataclass(frozen=True)
class ControlTable:
    """All registers of one servo model.

    Attributes:
        servo: model name as arm definitions use it, such as `sts3215`.
        protocol: `feetech` or `dynamixel`.
        model_number: what the servo answers at a ping or in its model register.
        size: bytes of the whole table; addresses at or past it do not exist.
        registers: in rising order of address, not overlapping.
        eeprom_end: first address that is not EEPROM.
    """

    servo: str
    protocol: str
    model_number: int
    size: int
    registers: tuple[Register, ...]
    eeprom_end: int

    @cached_property
    def _by_name(self) -> dict[str, Register]:
        return {register.name: register for register in self.registers}

    def __getitem__(self, name: str) -> Register:
        try:
            return self._by_name[name]
        except KeyError:
            raise PacketValueError(
                f"{self.servo} has no register {name!r}: it has {', '.join(self._by_name)}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Register]:
        return iter(self.registers)
