"""Two servos that answer at the same time: what a receiver makes of their bits."""

from typing import Final

SKEW_BITS: Final = 3
"""By how many bit times the second servo starts later. Real servos differ by microseconds, which is bits at 1 Mbps;
with no skew at all two equal answers would look like one good one."""


def collide(first: bytes, second: bytes, skew_bits: int = SKEW_BITS) -> bytes:
    """The bytes that a receiver reads when two answers lie over each other.

    The line idles high and whoever sends a 0 wins, so the bits are AND-ed. The receiver knows nothing of it: it waits
    for a start bit, takes eight bits, and goes on after the stop bit.
    """
    one, two = _bits(first), [1] * skew_bits + _bits(second)
    length = max(len(one), len(two))
    line = [(one[i] if i < len(one) else 1) & (two[i] if i < len(two) else 1) for i in range(length)]
    received = bytearray()
    position = 0
    while position < length:
        if line[position]:
            position += 1
            continue
        data = line[position + 1 : position + 9] + [1] * 8
        received.append(sum(bit << place for place, bit in enumerate(data[:8])))
        position += 10
    return bytes(received)


def _bits(data: bytes) -> list[int]:
    """Start bit, data least significant bit first, stop bit."""
    return [bit for byte in data for bit in (0, *(byte >> place & 1 for place in range(8)), 1)]
