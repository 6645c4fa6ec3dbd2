"""cyclictest, the yardstick of wake-up lateness (Debian's rt-tests): run beside ours, and its histogram read."""

import re
import shutil
import subprocess
from collections.abc import Collection
from typing import Final

import numpy as np

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import IntArray

LONGEST: Final = 50_000
"""Latest wake-up that has a bin of its own [µs]."""


def available() -> bool:
    """Whether it is installed."""
    return shutil.which("cyclictest") is not None


def run(seconds: int, period: float, priority: int, cpus: Collection[int]) -> IntArray:
    """Wake up every `period` [s] for `seconds` [s] on each of `cpus` under SCHED_FIFO `priority`, with locked memory.

    Returns:
        (k,) lateness of each wake-up [µs], core by core; those later than `LONGEST` are given as `LONGEST`, a core's
        latest in full. Wake-ups that a core slept through are left out.

    Raises:
        ConfigError: it is refused; the message is its own.
    """
    command = ["cyclictest", "--mlockall", "--quiet", f"--priority={priority}", f"--interval={round(period * 1e6)}"]
    command += [f"--histogram={LONGEST}", f"--duration={seconds}"]
    processes = [
        subprocess.Popen([*command, f"--affinity={cpu}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for cpu in cpus
    ]
    ended = [(process.communicate(), process.returncode) for process in processes]
    for (_, complaint), code in ended:
        if code:
            raise ConfigError(f"cyclictest ended with {code}: {' '.join(complaint.split())}: run it as root")
    return np.concatenate([parse(printed) for (printed, _), _ in ended])


def parse(text: str) -> IntArray:
    """Latenesses (k,) [µs] from what cyclictest prints with `--histogram` for one thread."""
    rows = [(int(late), int(count)) for late, count in re.findall(r"^(\d+) (\d+)$", text, re.MULTILINE)]
    bins = np.array(rows, np.int64).reshape(-1, 2)
    beyond = _number("Histogram Overflows", text)
    late = np.repeat(bins[:, 0], bins[:, 1])
    if beyond:
        late = np.concatenate([late, np.full(beyond - 1, LONGEST), [_number("Max Latencies", text)]])
    return late.astype(np.int64)


def _number(title: str, text: str) -> int:
    found = re.search(rf"^# {title}: (\d+)", text, re.MULTILINE)
    if found is None:
        raise ConfigError(f"cyclictest printed no {title!r}: install another version of rt-tests")
    return int(found[1])
