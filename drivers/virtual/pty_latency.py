"""How long a pty takes to deliver: what a wire does not do, measured so that the emulated line can leave it out.

A byte that a client writes on a pty goes through a kernel worker and wakes a sleeping process: 20 to 120 µs, as many
as twelve bytes on a line at 1 Mbps. The emulator measures that once, when it starts, and dates back what it receives.
"""

import os
import pty
import select
import struct
import subprocess
import sys
import time
import tty

_SAMPLES = 50
_STAMP = struct.Struct("q")
_CLIENT = f"""
import os, struct, sys, time
for _ in range({_SAMPLES}):
    time.sleep(0.005)
    os.write(1, struct.pack("q", time.monotonic_ns()))
"""
"""Another process, as clients are, that writes as often as a control loop at 200 Hz: how deep the processor sleeps
meanwhile decides how long it takes to wake up."""


def delivery_time_ns() -> int:
    """Median time [ns] from a client's write on a pty to the wake-up of whoever waits at its other end.

    Takes about 0.3 s.
    """
    far, near = pty.openpty()
    tty.setraw(near)
    client = subprocess.Popen([sys.executable, "-I", "-S", "-c", _CLIENT], stdout=near)
    delays: list[int] = []
    received = b""
    while len(delays) < _SAMPLES:
        select.select((far,), (), ())
        woken_ns = time.monotonic_ns()
        received += os.read(far, _STAMP.size * _SAMPLES)
        while len(received) >= _STAMP.size:
            delays.append(woken_ns - _STAMP.unpack_from(received)[0])
            received = received[_STAMP.size :]
    client.wait()
    os.close(near)
    os.close(far)
    return sorted(delays)[_SAMPLES // 2]
