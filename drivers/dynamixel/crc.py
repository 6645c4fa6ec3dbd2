"""CRC-16 of Dynamixel Protocol 2.0.

Polynomial x^16 + x^15 + x^2 + 1 (0x8005), start value 0, most significant bit first, nothing reflected or inverted.

Source: ROBOTIS e-Manual, "CRC calculation", https://emanual.robotis.com/docs/en/dxl/crc/
"""

from typing import Final

_POLYNOMIAL: Final = 0x8005


def _table_entry(byte: int) -> int:
    crc = byte << 8
    for _ in range(8):
        crc = crc << 1 ^ (_POLYNOMIAL if crc & 0x8000 else 0)
    return crc & 0xFFFF


_ENTRIES: Final = tuple(_table_entry(byte) for byte in range(256))
_HIGH: Final = bytes(entry >> 8 for entry in _ENTRIES)
_LOW: Final = bytes(entry & 0xFF for entry in _ENTRIES)


def crc16(data: bytes, crc: int = 0) -> int:
    """CRC of `data`, continuing from the CRC of what came before it.

    The two bytes of the CRC are kept apart, which spares the shift and the mask for each byte of data.
    """
    high, low = crc >> 8, crc & 0xFF
    table_high, table_low = _HIGH, _LOW
    for byte in data:
        entry = high ^ byte
        high = low ^ table_high[entry]
        low = table_low[entry]
    return high << 8 | low
