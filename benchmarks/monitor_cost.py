"""What the safety monitor costs a tick: all checks of a six-joint arm, clearances and ONNX ensemble included.

The frames are those of a smooth motion of all joints at 1 kHz, with the noise of real encoders, in which nothing is
wrong: a tick that is stopped early would leave checks out. They come at their pace, to one thread with the real-time
settings of a control process. The ensemble has 5 members of 4 layers of 200, random weights; its cost does not depend
on them. It is asked as the control process asks it: one member a tick at 1 kHz, so that five ticks answer a question.
The same is measured at 200 Hz, where each tick asks all five and has five times as long.

    python -m robot_mbrl.benchmarks.monitor_cost [--seconds 20] [--json]
"""

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from robot_mbrl.contracts.clock import Ticker
from robot_mbrl.contracts.errors import SimulationError
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record, empty
from robot_mbrl.contracts.types import FloatArray, VerdictLevel
from robot_mbrl.drivers.arms import RAD_PER_TICK, ArmDefinition, load_arm
from robot_mbrl.policies.ensemble_export import EnsembleWeights, write_ensemble
from robot_mbrl.policies.ensemble_file import EnsembleDescription
from robot_mbrl.policies.model_watch import ModelWatch
from robot_mbrl.policies.onnx_ensemble import OnnxEnsemble
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.runtime.real_time import RealTime, RealTimeSettings
from robot_mbrl.safety.monitor import Monitor
from robot_mbrl.sim.geometry import MujocoGeometry

ARM = "so101_follower"
FAST, SLOW = 1000.0, 200.0
"""Ticks a second of the frames [Hz]."""
MEMBERS, LAYERS, WIDTH = 5, 4, 200
PERIOD = 0.05
"""Of the model [s]."""
BOUND = 150e-6
"""What all of it may take at the 99th percentile of ticks at 1 kHz [s]."""
UNCERTAINTY = {"disagreement": {"stop": 1e9}, "residual": {"stop": 1e9}}
"""Thresholds that random weights do not reach, so that the checks are there and pass."""

BURST = 500
IN_BURSTS, AT_PACE, AT_200_HZ = "in bursts", "at their pace", "at 200 Hz"

_ASKED = "position", "velocity", "goal_position", "requested_position"
_LAG = 0.02
"""By which the measured angles follow the requested ones [s]."""
_WARM_UP = 0.5
"""Of each manner [s]."""


def random_ensemble(path: Path, arm: ArmDefinition, random: np.random.Generator) -> OnnxEnsemble:
    """An ensemble for `arm`, state (position, velocity), action (goals), written to `path` and loaded from there."""
    joints = len(arm.joints)
    widths = (3 * joints, *(LAYERS * (WIDTH,)), 4 * joints)
    weights = EnsembleWeights(
        input_mean=np.zeros(3 * joints),
        input_deviation=np.ones(3 * joints),
        matrices=[random.normal(0.0, n**-0.5, (MEMBERS, n, m)) for n, m in itertools.pairwise(widths)],
        biases=[np.zeros((MEMBERS, m)) for m in widths[1:]],
    )
    description = EnsembleDescription(joint_names=arm.joint_names, period=PERIOD, scale=2 * joints * (0.1,))
    write_ensemble(path, weights, description)
    return OnnxEnsemble(path)


def nominal_frames(arm: ArmDefinition, count: int, rate: float = FAST) -> Iterator[Record]:
    """`count` frames at `rate` [Hz] of an arm that obeys, all joints swinging half-way from parked to zero."""
    n, period_ns = len(arm.joints), round(1e9 / rate)
    centre: FloatArray = np.array([0.5 * joint.park_position for joint in arm.joints])
    limits: FloatArray = np.array([joint.position_limits for joint in arm.joints])
    low, high = limits[:, 0], limits[:, 1]
    amplitude: FloatArray = 0.15 * np.minimum(high - centre, centre - low)
    frequency = np.linspace(0.5, 0.75, n)

    def path(time: float) -> FloatArray:
        return centre + amplitude * np.sin(2.0 * np.pi * frequency * time)

    def speed(time: float) -> FloatArray:
        return amplitude * 2.0 * np.pi * frequency * np.cos(2.0 * np.pi * frequency * time)

    for tick in range(count):
        now, now_ns = tick / rate, 1_000_000_000 + tick * period_ns
        frame = empty(FRAME_DTYPE)
        frame["tick"], frame["joints"], frame["state"] = tick, n, ControlState.RUNNING
        frame["deadline_ns"] = frame["wake_ns"] = now_ns
        frame["stamp_ns"] = now_ns + period_ns // 10
        frame["action_ns"], frame["action_expires_ns"] = now_ns - 10 * period_ns, now_ns + 90 * period_ns
        frame["transactions"] = 2 * tick
        velocity = speed(now - _LAG)
        values = {
            "position": np.round(path(now - _LAG) / RAD_PER_TICK) * RAD_PER_TICK,
            "reported_velocity": velocity,
            "velocity": velocity,
            "load": 0.1,
            "temperature": 30.0,
            "voltage": np.array([joint.supply_voltage for joint in arm.joints]),
            "health_ns": now_ns,
            "goal_position": path(now - 1.0 / rate),
            "action_position": path(now),
            "requested_position": path(now),
        }
        for name, value in values.items():
            frame[name][0, :n] = value
        yield frame


def measure(seconds: float, seed: int = 0) -> dict[str, dict[str, float]]:
    """Time everything together, and its parts, for about `seconds` [s].

    A third of the time the ticks come at 1 kHz: between two of them caches forget and the processor dozes. For another
    third they come in bursts of `BURST`, which is what the same instructions take on a processor that is awake. In the
    last third they come at 200 Hz.

    Returns:
        By part: `p50`, `p99` and `max` of its time in a tick [µs].

    Raises:
        SimulationError: the monitor does not pass the motion, so that not all checks would be measured.
    """
    arm = load_arm(ARM)
    geometry = MujocoGeometry(arm)
    with tempfile.TemporaryDirectory() as folder:
        ensemble = random_ensemble(Path(folder) / "ensemble.onnx", arm, np.random.default_rng(seed))
    frames = {
        rate: list(nominal_frames(arm, _warm_up(rate) + max(1, round(seconds / 3.0 * rate)), rate))
        for rate in (FAST, SLOW)
    }
    figures: dict[str, dict[str, float]] = {}
    with RealTime(RealTimeSettings()) as real_time:
        for manner, rate, burst in ((IN_BURSTS, FAST, BURST), (AT_PACE, FAST, 1), (AT_200_HZ, SLOW, 1)):
            monitor = build_monitor(arm, geometry, {"uncertainty": UNCERTAINTY})
            watch = ModelWatch(ensemble, arm.joint_names)
            ticker = Ticker(burst / rate, real_time.clock())
            parts = _run(monitor, watch, frames[rate], ticker, burst)
            figures |= {f"{part}, {manner}": _figures(times[_warm_up(rate) :]) for part, times in parts.items()}
        figures["one clearance"] = _figures(_times(geometry.clearance, frames[FAST]))
    return figures


def _warm_up(rate: float) -> int:
    """Ticks at `rate` [Hz] that are not counted."""
    return round(_WARM_UP * rate)


def _run(monitor: Monitor, watch: ModelWatch, frames: list[Record], ticker: Ticker, burst: int) -> dict[str, list[int]]:
    """Times of each part in each tick [ns]; `burst` ticks run after each beat of `ticker`."""
    parts: dict[str, list[int]] = {"everything": [], "ensemble": [], "checks": []}
    clock = time.perf_counter_ns
    for index, frame in enumerate(frames):
        joints = slice(int(frame["joints"][0]))
        position, velocity, held, requested = (frame[name][0, joints] for name in _ASKED)
        stamp_ns = int(frame["stamp_ns"][0])
        if index % burst == 0:
            ticker.wait()
        start_ns = clock()
        frame["disagreement"], frame["residual"] = watch.update(stamp_ns, position, velocity, held, requested)
        asked_ns = clock()
        verdict = monitor.judge(frame)
        end_ns = clock()
        if verdict.level != VerdictLevel.PASS:
            raise SimulationError(
                f"monitor: {verdict.reason} = {verdict.value} over {verdict.limit} in a motion without fault, so that "
                "the benchmark would not measure all checks: change the motion or the arm's safety settings"
            )
        parts["everything"].append(end_ns - start_ns)
        parts["ensemble"].append(asked_ns - start_ns)
        parts["checks"].append(end_ns - asked_ns)
    return parts


def _times(clearance: Callable[[FloatArray], object], frames: list[Record]) -> list[int]:
    clock, times = time.perf_counter_ns, []
    for frame in frames:
        position = frame["position"][0, :6]
        start_ns = clock()
        clearance(position)
        times.append(clock() - start_ns)
    return times


def _figures(nanoseconds: list[int]) -> dict[str, float]:
    microseconds = np.array(nanoseconds) / 1e3
    median, high = np.percentile(microseconds, [50, 99]).tolist()
    return {"p50": median, "p99": high, "max": float(microseconds.max())}


def table(figures: dict[str, dict[str, float]]) -> str:
    """`measure`'s figures as lines of text."""
    lines = [f"{'µs a tick, 6 joints, 1 thread':38} {'p50':>8} {'p99':>8} {'max':>8}"]
    lines += [f"{name:38} {row['p50']:8.1f} {row['p99']:8.1f} {row['max']:8.1f}" for name, row in figures.items()]
    for manner in (IN_BURSTS, AT_PACE):
        kept = figures[f"everything, {manner}"]["p99"] <= BOUND * 1e6
        lines.append(f"p99 {manner} is {'within' if kept else 'ABOVE'} {BOUND * 1e6:.0f} µs")
    return "\n".join(lines)


def main() -> None:
    """Print the table or, with `--json`, the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.seconds)
    if arguments.json:
        print(json.dumps({"processors": os.cpu_count(), "figures": figures}, indent=2))
    else:
        print(table(figures))


if __name__ == "__main__":
    main()
