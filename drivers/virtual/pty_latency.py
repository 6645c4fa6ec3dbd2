"""How long a pty takes to deliver: what a wire does not do, measured so that the emulated line can leave it out.

A byte that a client writes on a pty goes through a kernel worker and wakes a sleeping process: 20 to 100 µs, as many
as ten bytes on a line at 1 Mbps. The emulator measures that once, when it starts, and dates back what it receives.
"""

import os
import pty
import select
import struct
import threading
import time
import tty

_SAMPLES = 64
_PAUSE = 0.001
"""Between samples [s], long enough for the reader to fall asleep."""
_STAMP = struct.Struct("q")
_QUANTILE = 0.25
"""A delivery is dated back by what three in four deliveries take at least, so that hardly any is dated too early."""


def delivery_time_ns() -> int:
    """Time [ns] from a write on a pty's client end to the wake-up of whoever waits at the other; takes about 0.1 s."""
    far, near = pty.openpty()
    tty.setraw(near)

    def write_stamps() -> None:
        for _ in range(_SAMPLES):
            time.sleep(_PAUSE)
            os.write(near, _STAMP.pack(time.monotonic_ns()))

    writer = threading.Thread(target=write_stamps)
    writer.start()
    delays: list[int] = []
    received = b""
    while len(delays) < _SAMPLES:
        select.select((far,), (), ())
        woken_ns = time.monotonic_ns()
        received += os.read(far, _STAMP.size * _SAMPLES)
        while len(received) >= _STAMP.size:
            delays.append(woken_ns - _STAMP.unpack_from(received)[0])
            received = received[_STAMP.size :]
    writer.join()
    os.close(near)
    os.close(far)
    return sorted(delays)[int(_QUANTILE * _SAMPLES)]
