"""What the flight recorder costs, what it loses, and what a SIGKILL of everything at a random moment takes away.

A feeder in a process of its own sends frames at 1 kHz through the channel that the control process uses, to the
recorder process that a deployment starts. Its processor time is counted by the kernel; the feeder times its sends.

    python -m robot_mbrl.benchmarks.recorder_cost [--seconds 60] [--trials 100] [--json]
"""

import argparse
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from robot_mbrl.benchmarks.frame_feeder import READY as FEEDER_READY
from robot_mbrl.benchmarks.frame_feeder import FeederSettings
from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.errors import ProcessFailed
from robot_mbrl.data.log_folder import FLIGHT_PATTERN
from robot_mbrl.data.reader import read_frames
from robot_mbrl.data.salvage import salvage, salvaged_path
from robot_mbrl.data.story import lost_between
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.child import Child
from robot_mbrl.runtime.recorder import READY as RECORDER_READY
from robot_mbrl.runtime.settings import DeploySettings, TwinSettings

RATE: Final = 1000.0
"""Frames a second [Hz]."""
COST_BOUND: Final = 0.01
"""Share of a tick that handing a frame to the recorder may take in the control process, at the median."""
LOSS_BOUND: Final = 0.1
"""What a SIGKILL may take from the log [s]."""
_KILL_AFTER: Final = 0.3, 2.0
"""When, after the first frames, everything is killed [s]."""
_PATIENCE: Final = 30.0


class Pair:
    """A recorder and a feeder; close it.

    Attributes:
        session: that they share.
        recorder: keeps the frames.
        feeder: sends them.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.session = f"bench-recorder-{os.getpid()}-{number}"
        settings = DeploySettings(session=self.session, robot=TwinSettings(), log=folder)
        feeding = FeederSettings(session=self.session, rate=RATE)
        self.recorder = Child("recorder", "robot_mbrl.runtime.recorder", settings.model_dump_json())
        self.feeder = Child("feeder", "robot_mbrl.benchmarks.frame_feeder", feeding.model_dump_json())
        self.recorder.start()
        self.recorder.await_line(RECORDER_READY)
        self.feeder.start()
        self.feeder.await_line(FEEDER_READY)

    def end(self, child: Child) -> str:
        """Ask one to end; its last line."""
        child.send_signal(signal.SIGTERM)
        if not child.wait(_PATIENCE):
            raise ProcessFailed(f"the {child.name} did not end within {_PATIENCE} s: the machine is overloaded")
        lines = child.lines()
        if not lines:
            raise ProcessFailed(f"the {child.name} said nothing: {child.last_words()}")
        return lines[-1]

    def kill(self) -> int:
        """SIGKILL both at once; the time just before [ns]."""
        now_ns = time.monotonic_ns()
        for child in (self.feeder, self.recorder):
            child.send_signal(signal.SIGKILL)
        for child in (self.feeder, self.recorder):
            child.wait(_PATIENCE)
        return now_ns

    def close(self) -> None:
        """End what still runs, and take away the shared memory that killed processes leave."""
        self.feeder.close()
        self.recorder.close()
        Session(self.session).close()


def processor_seconds(pid: int) -> float:
    """What the process has used so far, in user and kernel mode [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_cost(folder: Path, seconds: float) -> dict[str, float]:
    """Record for `seconds` [s], and compare what was sent with what is in the log."""
    pair = Pair(folder, 0)
    try:
        before = processor_seconds(pair.recorder.pid)
        time.sleep(seconds)
        sending = json.loads(pair.end(pair.feeder))
        used = processor_seconds(pair.recorder.pid) - before
        pair.end(pair.recorder)
    finally:
        pair.close()
    logs = sorted(folder.glob(FLIGHT_PATTERN))
    ticks = np.concatenate([read_frames(log)["tick"] for log in logs])
    kept = int(np.isin(np.arange(1, sending["sent"] + 1), ticks).sum())
    per_frame = used / sending["sent"]
    return {
        "sent": sending["sent"],
        "lost": sending["sent"] - kept,
        "send_p50": sending["p50"],
        "send_p99": sending["p99"],
        "send_max": sending["max"],
        "recorder_per_frame": per_frame,
        "share_of_tick": sending["p50"] * RATE,
        "share_of_tick_bound": COST_BOUND,
        "share_of_recorders_core": per_frame * RATE,
        "bytes_per_frame": sum(log.stat().st_size for log in logs) / sending["sent"],
    }


def kill_once(folder: Path, number: int, after: float) -> float:
    """Kill feeder and recorder `after` [s]; how much of the time before is not in the salvaged log [s]."""
    pair = Pair(folder, number)
    try:
        time.sleep(after)
        killed_ns = pair.kill()
    finally:
        pair.close()
    [log] = folder.glob(FLIGHT_PATTERN)
    frames = read_frames(salvage(log, salvaged_path(log)).path)
    missing = lost_between(frames[0], frames[-1], len(frames))
    return (killed_ns - int(frames["wake_ns"][-1])) / NANOSECONDS + missing / RATE


def measure(
    seconds: float, trials: int, seed: int = 0, progress: Callable[[float], None] | None = None
) -> dict[str, dict[str, Any]]:
    """Both measurements.

    Args:
        seconds: how long to record [s].
        trials: how often to kill everything.
        seed: of the moments of the kills.
        progress: called after each part with the share that is done, 0..1.

    Returns:
        `cost`, see `measure_cost`; `kills`: `trials`, `lost_p50`, `lost_max` and `bound` [s], `over_bound` trials.

    Raises:
        ProcessFailed: a process did not start or end.
    """
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="recorder-cost-") as folder:
        cost = measure_cost(Path(folder) / "cost", seconds)
        losses = []
        for trial in range(1, trials + 1):
            losses.append(kill_once(Path(folder) / f"kill-{trial}", trial, moments.uniform(*_KILL_AFTER)))
            if progress is not None:
                progress(trial / trials)
    kills = {
        "trials": trials,
        "lost_p50": float(np.median(losses)),
        "lost_max": max(losses),
        "bound": LOSS_BOUND,
        "over_bound": sum(loss > LOSS_BOUND for loss in losses),
    }
    return {"cost": cost, "kills": kills}


def table(figures: dict[str, dict[str, Any]]) -> str:
    """`measure`'s figures as lines of text."""
    cost, kills = figures["cost"], figures["kills"]
    return "\n".join(
        [
            f"frames at {RATE:.0f} Hz             {cost['sent']} sent, {cost['lost']} lost",
            f"a send, in the control process {cost['send_p50'] * 1e6:.1f} µs p50, {cost['send_p99'] * 1e6:.1f} µs p99, "
            f"{cost['send_max'] * 1e6:.0f} µs max: {cost['share_of_tick']:.2%} of a tick (bound {COST_BOUND:.0%})",
            f"the recorder's own process      {cost['recorder_per_frame'] * 1e6:.1f} µs a frame: "
            f"{cost['share_of_recorders_core']:.2%} of another core",
            f"on disk                         {cost['bytes_per_frame']:.0f} bytes a frame",
            f"SIGKILL of everything           {kills['trials']} trials, lost {kills['lost_p50'] * 1e3:.0f} ms p50, "
            f"{kills['lost_max'] * 1e3:.0f} ms max (bound {LOSS_BOUND * 1e3:.0f} ms, {kills['over_bound']} over it)",
        ]
    )


def main() -> None:
    """Print the table or, with `--json`, the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to record")
    parser.add_argument("--trials", type=int, default=100, help="how often to kill everything")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.seconds, arguments.trials)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
