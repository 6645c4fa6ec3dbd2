"""Resident memory and pace of the sequence replay, filled with a million steps of an arm.

A process of its own fills the replay, samples batches of 16 sequences of 64 rows all over it, and writes their latents
back. What it had resident before and at its most is what the kernel says (VmHWM, pages of mapped files included).

    python -m robot_mbrl.benchmarks.replay_memory [--steps 1000000] [--batches 2000] [--json]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from robot_mbrl.contracts.errors import ProcessFailed
from robot_mbrl.learning.sequence_replay import ReplaySpaces, SequenceReplay

BOUND: Final = 1e9
"""What the whole process may have resident with a million steps in its replay [bytes]."""
STREAMS: Final = 16
BATCH: Final = 16
LENGTH: Final = 64
SPACES: Final = ReplaySpaces(observation=(24,), action=6, deter=512, groups=32, classes=4)
"""The task reach with an SO-101, and DreamerV3's latents at size 1M."""


def resident_peak() -> int:
    """The most that this process ever had resident [bytes]."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def fill(replay: SequenceReplay, steps: int, random: np.random.Generator) -> None:
    """Add `steps` rows, one to each stream at a time."""
    streams = np.arange(STREAMS)
    flags = np.zeros(STREAMS, np.bool_)
    one_hot = np.tile(np.eye(SPACES.classes, dtype=np.float32)[0], (STREAMS, SPACES.groups))
    for _ in range(steps // STREAMS):
        step = {
            "observation": random.standard_normal((STREAMS, *SPACES.observation), np.float32),
            "action": random.standard_normal((STREAMS, SPACES.action), np.float32),
            "reward": random.standard_normal(STREAMS, np.float32),
            "is_first": flags,
            "is_last": flags,
            "is_terminal": flags,
        }
        replay.add(streams, step, {"deter": random.standard_normal((STREAMS, 512), np.float32), "stoch": one_hot})


def run_here(folder: Path, steps: int, batches: int) -> dict[str, float]:
    """Fill, sample and write back in this process."""
    random = np.random.default_rng(0)
    before = resident_peak()
    replay = SequenceReplay(folder, SPACES, random, streams=STREAMS, capacity=steps, slack=1000)
    start = time.perf_counter()
    fill(replay, steps, random)
    filled = time.perf_counter()
    deter = random.uniform(-1.0, 1.0, (BATCH, LENGTH, SPACES.deter)).astype(np.float32)
    stoch = np.tile(np.eye(SPACES.classes, dtype=np.float32)[1], (BATCH, LENGTH, SPACES.groups))
    sampling = writing = 0.0
    for _ in range(batches):
        began = time.perf_counter()
        batch = replay.sample(BATCH, LENGTH)
        drawn = time.perf_counter()
        replay.write_latents(batch, deter, stoch)
        sampling, writing = sampling + drawn - began, writing + time.perf_counter() - drawn
    figures = {
        "steps": len(replay),
        "resident_before": before,
        "resident_peak": resident_peak(),
        "resident_bound": BOUND,
        "file_bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "add_seconds_per_step": (filled - start) / steps,
        "sample_seconds": sampling / batches,
        "write_latents_seconds": writing / batches,
    }
    replay.close()
    return figures


def measure(steps: int, batches: int) -> dict[str, Any]:
    """`run_here` in a fresh process.

    Returns:
        `resident_before`, `resident_peak`, `resident_bound`, `file_bytes` [bytes], and the mean times of adding a step,
        sampling a batch and writing its latents back [s].

    Raises:
        ProcessFailed: the process failed.
    """
    with tempfile.TemporaryDirectory(prefix="replay-memory-") as folder:
        program = [sys.executable, "-m", "robot_mbrl.benchmarks.replay_memory", "--here", folder]
        done = subprocess.run(
            [*program, "--steps", str(steps), "--batches", str(batches)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise ProcessFailed(
            f"the replay's process ended with {done.returncode}: {' '.join(done.stderr.split())[-300:]}"
        )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def table(figures: dict[str, Any]) -> str:
    """`measure`'s figures as lines of text."""
    return "\n".join(
        [
            f"steps in the replay      {figures['steps']:,} ({figures['file_bytes'] / 1e9:.2f} GB of files)",
            f"resident at the most     {figures['resident_peak'] / 1e6:.0f} MB, of it before the replay was opened "
            f"{figures['resident_before'] / 1e6:.0f} MB (bound {figures['resident_bound'] / 1e6:.0f} MB)",
            f"adding a step            {figures['add_seconds_per_step'] * 1e6:.1f} µs",
            f"a batch of {BATCH} x {LENGTH}       {figures['sample_seconds'] * 1e3:.2f} ms, "
            f"latents written back {figures['write_latents_seconds'] * 1e3:.2f} ms",
        ]
    )


def main() -> None:
    """Print the table or, with `--json`, the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=1_000_000, help="rows to fill the replay with")
    parser.add_argument("--batches", type=int, default=2000, help="batches to sample")
    parser.add_argument("--here", type=Path, help="do it in this process, with the replay in this folder; print JSON")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if arguments.here is not None:
        print(json.dumps(run_here(arguments.here, arguments.steps, arguments.batches)))
        return
    figures = measure(arguments.steps, arguments.batches)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
