"""Does the control loop keep its time: 1 kHz on the twin, 200 Hz on the emulated SO-101 over its serial port.

The whole loop runs in real time, with channels, monitor and a motion to follow, while a process burns another core.
Windows of it take turns with windows of cyclictest at the same period, priority and core: what the machine itself does
to a program that only wakes up. A wake-up's lateness is the time from its deadline to the moment it is noticed.

What the machine imposes on ticks by standing still for a while, as a virtual one does, is counted by
`benchmarks.imposed_ticks`, from the stalls that cyclictest sees at a period that no stall of interest fits into, on
every core that the tick's work needs: on the loop's own, and on the emulated arm's, which stands for hardware that
would not stall.
"""

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from robot_mbrl.benchmarks import cyclictest, loop_histogram
from robot_mbrl.benchmarks.imposed_ticks import imposed_ticks
from robot_mbrl.contracts.clock import NANOSECONDS, Clock, MonotonicClock, to_ns
from robot_mbrl.contracts.config import BusSettings, RobotSettings
from robot_mbrl.contracts.errors import ProcessFailed
from robot_mbrl.contracts.frame import ACTION_DTYPE, REQUEST_DTYPE, ControlState, Record, Request, empty
from robot_mbrl.contracts.robot import Robot
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arm_checks import install_calibration
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.drivers.bus import open_bus
from robot_mbrl.drivers.calibration import nominal_calibration, save_calibration
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.control_loop import ControlLoop
from robot_mbrl.runtime.control_process import build_loop, open_robot
from robot_mbrl.runtime.real_time import RealTime, RealTimeSettings, choose_cpu
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess

ARM: Final = "so101_follower"
WINDOW: Final = 15.0
"""Of ours, and then as much of cyclictest [s]."""
SPIN: Final = 200e-6
"""The driver watches the port for so long around an answer [s]."""
ARM_PRIORITY: Final = 70
"""Of SCHED_FIFO, of the emulated arm: nothing on the computer would hold up a real one."""
SERIAL_PRIORITY: Final = 85
"""Of SCHED_FIFO for the kernel's threads that hand over the port's bytes: without it the busy core delays answers, and
below the loop's or the arm's own they would wait for who waits for them."""
ALLOWED: Final = 1e-5
"""Share of ticks that may be missed beyond what the machine imposes."""
STALL_PERIOD: Final = 250e-6
"""At which cyclictest looks for stalls of the machine [s]."""
START_TICKS: Final = 5000
"""In which the loop must be running, at the latest."""
_FIRST: Final = {
    ControlState.STOPPED: Request.RESET,
    ControlState.FAULT: Request.RESET,
    ControlState.IDLE: Request.ARM,
}
"""What has to be asked for before anything else, by where the loop stands."""
SWING: Final = 0.3
"""Of the first joint, from its start to the other end [rad]."""
QUANTILES: Final = (50.0, 99.0, 99.9, 100.0)

Announce = Callable[[str], None]


class Window(NamedTuple):
    """What was seen of some ticks, k of them.

    Attributes:
        lateness: (k,) of each wake-up [µs].
        work: (k,) from each wake-up to the end of its tick [µs].
        missed: whole ticks that were skipped.
        running: ticks in which the policy's motion was executed.
    """

    lateness: FloatArray
    work: FloatArray
    missed: int
    running: int


def swing(start: float, time: float) -> float:
    """Angle [rad] `time` [s] after a swing began at `start` [rad].

    It swings to zero's side of `start`: windows follow each other from wherever the one before has ended, and a swing
    to the same side each time would walk the joint to its limit, where the loop holds and no longer runs.
    """
    return start - math.copysign(SWING, start) * 0.5 * (1.0 - math.cos(0.5 * math.pi * time))


class Pilot:
    """Asks and steers by the session's channels, as the supervisor and a policy do."""

    def __init__(self, session: Session, start: FloatArray, rate: float, clock: Clock) -> None:
        """Swing the first joint from `start` (n,) [rad], with `rate` actions a second [Hz]."""
        self._requests, self._actions = session.publisher("request"), session.publisher("action")
        self._request, self._action = empty(REQUEST_DTYPE), empty(ACTION_DTYPE)
        self._action["position"][0, : len(start)] = start
        self._start, self._period_ns, self._clock = start, to_ns(1.0 / rate), clock
        self._next_ns = self._begun_ns = clock.now_ns()

    def ask(self, request: Request) -> None:
        """Send a request."""
        self._request["stamp_ns"], self._request["request"] = self._clock.now_ns(), request
        self._requests.send(self._request)

    def steer(self) -> None:
        """Send an action when it is time for one."""
        now_ns = self._clock.now_ns()
        if now_ns < self._next_ns:
            return
        self._next_ns += self._period_ns
        self._action["position"][0, 0] = swing(self._start[0], (now_ns - self._begun_ns) / NANOSECONDS)
        self._action["stamp_ns"], self._action["expires_ns"] = now_ns, now_ns + 4 * self._period_ns
        self._actions.send(self._action)


def our_window(settings: DeploySettings, robot: Robot, arm: ArmDefinition, seconds: float) -> tuple[Window, list[str]]:
    """Run the loop on `robot` for `seconds` [s] and stop it; also returns what the machine refused."""
    real_time = RealTime(settings.real_time)
    clock = real_time.clock()
    with Session(settings.session) as session:
        loop = build_loop(settings, robot, arm, session, clock)
        pilot = Pilot(session, robot.goal_position, settings.loop.policy_rate, clock)
        with real_time:
            reach(loop, pilot, Request.ARM, ControlState.ARMED)
            reach(loop, pilot, Request.RUN, ControlState.RUNNING)
            window = _measure(loop, pilot, round(seconds * settings.loop.rate), clock)
            loop.leave()
            loop.run()
    return window, real_time.warnings


def reach(loop: ControlLoop, pilot: Pilot, request: Request, state: ControlState) -> None:
    """Ask for `state`; where the machine stood still meanwhile and the loop was stopped, it begins anew."""
    for tick in range(START_TICKS):
        if loop.state is state:
            return
        _tick(loop, pilot, tick, request)
    raise ProcessFailed(
        f"the loop is {loop.state.name} and not {state.name} after {START_TICKS} ticks: see its reports"
    )


def _tick(loop: ControlLoop, pilot: Pilot, tick: int, request: Request) -> Record:
    """One tick; every 50th also asks for what leads to `request` from where the loop stands."""
    if tick % 50 == 10:
        pilot.ask(_FIRST.get(loop.state, request))
    pilot.steer()
    return loop.tick()


def _measure(loop: ControlLoop, pilot: Pilot, ticks: int, clock: Clock) -> Window:
    lateness, work = np.zeros(ticks), np.zeros(ticks)
    missed, before, running = 0, -1, 0
    for index in range(ticks):
        frame = _tick(loop, pilot, index, Request.RUN)
        wake_ns = frame["wake_ns"].item()
        lateness[index] = wake_ns - frame["deadline_ns"].item()
        missed = frame["missed_ticks"].item()
        before = missed if before < 0 else before
        running += frame["state"].item() == ControlState.RUNNING
        work[index] = clock.now_ns() - wake_ns
    return Window(lateness / 1e3, work / 1e3, missed - before, running)


# -- the arms -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def twin_at_1khz() -> Iterator[tuple[DeploySettings, Robot, ArmDefinition]]:
    """The twin, in this process."""
    settings = DeploySettings(session=_session(), robot=TwinSettings(arm=ARM), loop=LoopSettings(rate=1000.0))
    yield settings, *_connected(settings)


@contextlib.contextmanager
def so101_at_200hz() -> Iterator[tuple[DeploySettings, Robot, ArmDefinition]]:
    """The emulated SO-101 behind a serial port, its process on the core that the loop leaves."""
    with (
        tempfile.TemporaryDirectory() as folder,
        VirtualArmProcess(ARM, link=Path(folder) / "port", priority=ARM_PRIORITY) as process,
    ):
        os.sched_setaffinity(process.pid, {_other_cpu()})
        calibration = Path(folder) / "calibration.yaml"
        _calibrate(process.port, calibration)
        bus = BusSettings(spin=SPIN)
        robot = RobotSettings(arm=ARM, port=process.port, calibration=calibration, bus=bus)
        real_time = RealTimeSettings(serial_priority=SERIAL_PRIORITY)
        settings = DeploySettings(session=_session(), robot=robot, loop=LoopSettings(rate=200.0), real_time=real_time)
        yield settings, *_connected(settings)


def _connected(settings: DeploySettings) -> tuple[Robot, ArmDefinition]:
    arm = load_arm(ARM)
    robot, _ = open_robot(settings, arm, MonotonicClock(settings.real_time.spin))
    robot.connect()
    return robot, arm


def _calibrate(port: str, path: Path) -> None:
    arm = load_arm(ARM)
    calibration = nominal_calibration(arm)
    save_calibration(path, calibration)
    bus = open_bus(port, arm.protocol, arm.baud, MonotonicClock(), BusSettings(margin=0.05))
    try:
        install_calibration(bus, arm, calibration)
    finally:
        bus.close()


def _session() -> str:
    return f"bench-{uuid.uuid4().hex[:12]}"


SCENARIOS: Final = {"twin, 1000 Hz": twin_at_1khz, "emulated SO-101, 200 Hz": so101_at_200hz}


# -- the measurement ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def burner() -> Iterator[None]:
    """A process that burns the core that the loop leaves."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(process.pid, {_other_cpu()})
        yield
    finally:
        process.kill()
        process.wait()


def _other_cpu() -> int:
    allowed = os.sched_getaffinity(0)
    return min(allowed - {choose_cpu(allowed)} or allowed)


class Floor(NamedTuple):
    """What the machine does to cyclictest.

    Attributes:
        lateness: (k,) of wake-ups at the loop's period on its core [µs].
        stalls: (j,) latenesses at `STALL_PERIOD` on all cores in use [µs].
        seconds: for how long stalls were looked for [s].
    """

    lateness: FloatArray
    stalls: FloatArray
    seconds: float


def floor_window(settings: DeploySettings, seconds: float) -> Floor:
    """Let cyclictest run for `seconds` [s]: half of them at the loop's period, half in search of stalls."""
    half, priority = max(1, round(seconds / 2.0)), settings.real_time.priority
    own = choose_cpu(os.sched_getaffinity(0))
    cores = {own} if isinstance(settings.robot, TwinSettings) else {own, _other_cpu()}
    lateness = cyclictest.run(half, 1.0 / settings.loop.rate, priority, {own})
    stalls = cyclictest.run(half, STALL_PERIOD, priority, cores)
    return Floor(lateness.astype(np.float64), stalls.astype(np.float64), half)


def measure_scenario(name: str, minutes: float, announce: Announce) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Figures of one scenario, and the latenesses behind them [µs]."""
    windows: list[Window] = []
    floor: list[Floor] = []
    warnings: list[str] = []
    with burner(), SCENARIOS[name]() as (settings, robot, arm):
        rounds = max(1, round(minutes * 60.0 / WINDOW))
        seconds = minutes * 60.0 / rounds
        for index in range(rounds):
            window, warnings = our_window(settings, robot, arm, seconds)
            windows.append(window)
            if cyclictest.available():
                floor.append(floor_window(settings, seconds))
            told = f"{name}: window {index + 1} of {rounds}, {window.missed} of {len(window.work)} ticks missed"
            allowed = figures([window], floor[-1:], settings.loop.rate).get("missed_allowed")
            announce(told if allowed is None else f"{told}, {allowed:.1f} by the machine")
        robot.stop()
        robot.close()
    ours = np.concatenate([window.lateness for window in windows])
    latenesses = {"ours": ours}
    if floor:
        latenesses["cyclictest"] = np.concatenate([window.lateness for window in floor])
    return {**figures(windows, floor, settings.loop.rate), "refused": warnings}, latenesses


def figures(windows: list[Window], floor: list[Floor], rate: float) -> dict[str, Any]:
    """What was measured comes to.

    Args:
        windows: of the loop.
        floor: cyclictest's; empty without cyclictest.
        rate: of the loop [Hz].
    """
    ours = np.concatenate([window.lateness for window in windows])
    work = np.concatenate([window.work for window in windows])
    found: dict[str, Any] = {
        "rate_hz": rate,
        "ticks": len(ours),
        "running_ticks": sum(window.running for window in windows),
        "missed_ticks": sum(window.missed for window in windows),
        "lateness_us": _quantiles(ours),
        "work_us": _quantiles(work),
        "cyclictest": None,
    }
    if floor:
        stalls, cycles = np.concatenate([window.stalls for window in floor]), sum(w.seconds for w in floor) * rate
        imposed = imposed_ticks(stalls, work, 1e6 / rate)
        found["cyclictest"] = {
            "lateness_us": _quantiles(np.concatenate([window.lateness for window in floor])),
            "stalls_us": _quantiles(stalls),
            "cycles": round(cycles),
            "imposed_ticks": imposed,
        }
        found["missed_allowed"] = (imposed / cycles + ALLOWED) * len(ours)
    return found


def _quantiles(values: FloatArray) -> dict[str, float]:
    return {f"p{q:g}": float(np.percentile(values, q)) for q in QUANTILES}


def measure(minutes: float = 10.0, picture: Path | None = None, announce: Announce = lambda _: None) -> dict[str, Any]:
    """Both scenarios, one after the other.

    Args:
        minutes: of ours for each scenario; cyclictest takes as much again.
        picture: PNG file to draw the histograms to.
        announce: told after each window. There is no moving progress bar: drawing it would take time from the loop.
    """
    if not cyclictest.available():
        announce("cyclictest is missing, so there is nothing to compare with: apt-get install rt-tests")
    found: dict[str, Any] = {}
    panels: dict[str, dict[str, FloatArray]] = {}
    for name in SCENARIOS:
        found[name], panels[name] = measure_scenario(name, minutes, announce)
        found[name]["histogram"] = loop_histogram.text(name, panels[name])
    if picture is not None:
        loop_histogram.draw(picture, panels)
    return found


def table(found: dict[str, Any]) -> str:
    """The figures for people: a table, then the histograms."""
    lines = []
    for name, row in found.items():
        floor = row["cyclictest"]
        lines += [
            name,
            f"  missed ticks   {row['missed_ticks']} of {row['ticks']}, {row['running_ticks']} of them running",
        ]
        if floor is not None:
            lines.append(
                f"  the machine    imposes {floor['imposed_ticks']:.1f} in {floor['cycles']} by the stalls that "
                f"cyclictest saw; so {row['missed_allowed']:.1f} may be missed"
            )
        lines.append(f"  {'':14} {'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>9}  [µs]")
        rows = {
            "lateness": row["lateness_us"],
            "cyclictest": floor and floor["lateness_us"],
            "  its stalls": floor and floor["stalls_us"],
            "tick's work": row["work_us"],
        }
        for title, quantiles in rows.items():
            if quantiles:
                lines.append(f"  {title:14} " + "".join(f"{value:9.1f}" for value in quantiles.values()))
        lines += [f"  {warning}" for warning in row["refused"]]
        lines += ["", row["histogram"], ""]
    return "\n".join(lines)


def main() -> None:
    """Print the figures as text, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of ours for each arm; cyclictest takes as much again"
    )
    parser.add_argument("--picture", type=Path, help="PNG file for the histograms")
    parser.add_argument("--json", action="store_true", help="machine-readable figures")
    arguments = parser.parse_args()
    found = measure(arguments.minutes, arguments.picture, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2) if arguments.json else table(found))


if __name__ == "__main__":
    main()
