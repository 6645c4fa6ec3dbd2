"""How long a pty takes to deliver: what a wire does not do, measured so that the emulated line can leave it out.

A byte that a client writes on a pty goes through a kernel worker and wakes a sleeping process: 20 to 120 µs, as many
as twelve bytes on a line at 1 Mbps. The emulator measures that once, when it starts, and dates back what it receives.
"""

import os
import select
import struct
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Sequence

from robot_mbrl.drivers.virtual.pseudo_terminal import open_pseudo_terminal

_SAMPLES = 50
_STAMP = struct.Struct("q")
_SCRIPT = f"""
import os, struct, sys, time
for _ in range({_SAMPLES}):
    time.sleep(0.005)
    os.write(1, struct.pack("q", time.monotonic_ns()))
"""
"""Another process, as clients are, that writes as often as a control loop at 200 Hz: how deep the processor sleeps
meanwhile decides how long it takes to wake up."""
_CLIENT = (sys.executable, "-I", "-S", "-c", _SCRIPT)
PATIENCE = 10.0
"""Nothing that works takes so long to start or to write again [s]."""


def delivery_time_ns(report: Callable[[str], None], client: Sequence[str] = _CLIENT, patience: float = PATIENCE) -> int:
    """Median time [ns] from a client's write on a pty to the wake-up of whoever waits at its other end.

    Takes about 0.3 s.

    Args:
        report: gets one line when nothing could be measured; the time is 0 then.
        client: command of a process that writes the time, `_SAMPLES` times, on its standard output.
        patience: longest wait for the client's start or its next write [s].

    Raises:
        PortError: there is no pseudo-terminal.
    """
    far, near = open_pseudo_terminal()
    tty.setraw(near)
    writer = subprocess.Popen(client, stdout=near, stderr=subprocess.DEVNULL)
    # The client's end closes with the client, so that its death is seen here at once.
    os.close(near)
    try:
        delays = _delays(far, patience)
    finally:
        writer.kill()
        writer.wait()
        os.close(far)
    if len(delays) < _SAMPLES:
        report(
            f"virtual arm: the pty's delivery time could not be measured ({len(delays)} of {_SAMPLES} samples within "
            f"{patience:g} s each): 0 is taken, answers may come up to 0.1 ms late"
        )
        return 0
    return sorted(delays)[_SAMPLES // 2]


def _delays(far: int, patience: float) -> list[int]:
    """How long the bytes of each stamp that arrives at `far` were under way [ns]; ends when they cease."""
    delays: list[int] = []
    received = b""
    while len(delays) < _SAMPLES:
        if not select.select((far,), (), (), patience)[0]:
            break
        woken_ns = time.monotonic_ns()
        try:
            received += os.read(far, _STAMP.size * _SAMPLES)
        except OSError:
            # EIO is how a pty says that nobody holds its other end any more.
            break
        while len(received) >= _STAMP.size:
            delays.append(woken_ns - _STAMP.unpack_from(received)[0])
            received = received[_STAMP.size :]
    return delays
