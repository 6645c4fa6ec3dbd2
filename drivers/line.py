"""Time on an asynchronous serial line."""

from typing import Final

BITS_PER_BYTE: Final = 10
"""Start bit, eight data bits, stop bit."""
