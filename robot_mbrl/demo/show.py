"""The demonstration from start to end. Whatever ends it, nothing of it stays but the files in its folder."""

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.config import BusSettings, RobotSettings, dump_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import MonitorThresholds, UncertaintySettings
from robot_mbrl.data.log_folder import FLIGHT_PATTERN
from robot_mbrl.demo import stand
from robot_mbrl.demo.bundle import shipped_bundle
from robot_mbrl.demo.disturbances import disturbances
from robot_mbrl.demo.goals import GoalDraw, exploration
from robot_mbrl.demo.journal import Journal
from robot_mbrl.demo.models import START, calibrate_doubt, fit_planner, train_monitor
from robot_mbrl.demo.pace import Pace
from robot_mbrl.demo.pilot import fly_deployment
from robot_mbrl.demo.report import JOURNAL, Findings, write_report
from robot_mbrl.demo.screen import Screen
from robot_mbrl.demo.script import Script, disturb, fly, fly_legs
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.learning.flight_episodes import FlightEpisode, read_episodes
from robot_mbrl.learning.planner_deployment import PlannerFile, narrowed
from robot_mbrl.policies.fast_planner import FastPlannerSettings
from robot_mbrl.policies.icem import IcemSettings
from robot_mbrl.policies.rollouts import RolloutSettings
from robot_mbrl.policies.tour import Leg, TourSettings
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess
from robot_mbrl.sim.tasks import CONTROL_PERIOD
from robot_mbrl.sim.truth import draw_truth

ARM: Final = "so101_follower"
LOOP: Final = LoopSettings(rate=100.0, policy_rate=1.0 / CONTROL_PERIOD, missed_limit=0.2, bus_patience=10)
"""At 100 Hz the whole show fits on two cores, the emulated arm and the planner included."""
BUS: Final = BusSettings(margin=0.01)
LATENESS: Final = {
    "plausibility": {"age": {"hold": 0.08, "stop": 0.15}},
    "timing": {"lateness": {"stop": 0.15}, "missed_ticks": {"slow": 0.3, "stop": 0.8}},
}
"""Limits of lateness [s], wider than an arm's own: here the arm is a process too, and late on a busy computer."""
GUARDIAN_BOUND: Final = 0.3
"""Silence after which the guardian takes over [s]: two cores without real-time rights have longer pauses than a robot's
computer should have."""
PLANNER: Final = FastPlannerSettings(
    horizon=10,
    optimizer=IcemSettings(population=40, iterations=2, tail="rest"),
    rollouts=RolloutSettings(threads=1),
)
"""Smaller than where a planner has the cores to itself: here it shares two with the arm that it moves."""
LIMITS: Final = {
    "shoulder_lift": (-1.2, 0.7),
    "elbow_flex": (-1.0, 1.0),
    "wrist_flex": (-0.8, 1.3),
    "wrist_roll": (-0.8, 0.8),
    "gripper": (0.0, 0.6),
}
"""Parts of the ranges [rad] that exploration and plans keep to. In those of the first three no two links of the arm
come near each other: of 3,000 random poses, none. Roll and gripper are of no use for reaching."""
SPEED, BUDGET = 0.3, 0.8
"""Shares of the full actions, and of the time between two, that the planner may use."""
SPACE: Final = 100 * 2**20
"""What the files may need [bytes]."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted.

    Attributes:
        folder: where everything is kept; new, or empty.
        seed: draws the arm, the goals and the motion.
        pace: how much of everything.
    """

    folder: Path
    seed: int
    pace: Pace


def show(order: Order, screen: Screen, clock: Clock) -> list[str]:
    """Run the whole demonstration; returns what came of it, a line each.

    Raises:
        ConfigError: the folder cannot be used or has too little space, or another demonstration runs.
        RobotMbrlError: something did not work as it should.
    """
    arm = load_arm(ARM)
    truth = draw_truth(arm, np.random.default_rng(order.seed))
    with the_only_one(), tempfile.TemporaryDirectory(prefix="robot-mbrl-demo-") as private:
        prepare_folder(order.folder)
        screen.stage(f"An emulated {ARM}, drawn with seed {order.seed}, behind a serial port of its own")
        truth_file = Path(private) / "truth.yaml"
        with stand.emulated_arm(truth, truth_file, Path(private) / "port") as process:
            # Only now: where the arm does not start, the folder stays empty and can be given again.
            shutil.copy(truth_file, order.folder)
            journal = Journal(order.folder / JOURNAL, clock)
            journal.note("stage", "the emulated arm started")
            findings = _Show(order, arm, process, journal, screen, clock).run(truth.payload_mass)
        screen.tell("the emulated arm has ended, its port is gone")
    screen.stage("The report")
    return write_report(order.folder, findings)


def prepare_folder(folder: Path) -> None:
    """Make the folder, or see that it can be used.

    Raises:
        ConfigError: it cannot, or there is too little space.
    """
    try:
        before = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        free = shutil.disk_usage(before).free
        occupied = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise _unusable(folder, error) from error
    if occupied:
        raise ConfigError(f"{folder}: is not empty: give --folder a new folder")
    if free < SPACE:
        raise ConfigError(
            f"{folder}: {free / 1e6:.0f} MB are free, the demonstration needs {SPACE / 1e6:.0f} MB: make room, or give "
            "--folder a folder on another disk"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{folder}: {error.strerror}: give --folder a folder that can be written")


@contextmanager
def the_only_one() -> Iterator[None]:
    """Keep a second demonstration of this user from running meanwhile: two would not keep their time.

    The lock is a name in the kernel alone: whatever ends the process gives it back and leaves nothing behind.

    Raises:
        ConfigError: there is another one.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        try:
            lock.bind(f"\0robot-mbrl-demo-{os.getuid()}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(
                    f"the lock against a second demonstration: {error.strerror}: let this program use Unix sockets"
                ) from error
            raise ConfigError(
                "another demonstration is running on this computer, and two would be late: wait for its end, or end "
                "it with Ctrl-C"
            ) from error
        yield


class _Show:
    """One demonstration on one arm."""

    def __init__(
        self,
        order: Order,
        arm: ArmDefinition,
        process: VirtualArmProcess,
        journal: Journal,
        screen: Screen,
        clock: Clock,
    ) -> None:
        self._folder, self._pace, self._seed = order.folder, order.pace, order.seed
        self._arm, self._process = arm, process
        self._journal, self._screen, self._clock = journal, screen, clock
        self._random = np.random.default_rng([order.seed, 1])
        self._free = narrowed(arm, LIMITS, "demonstration")
        self._goals = GoalDraw(self._free, self._random)
        self._robot = RobotSettings(arm=ARM, port=process.port, calibration=order.folder / "calibration.yaml", bus=BUS)
        self._bundle = shipped_bundle()

    def run(self, payload: float) -> Findings:
        """All of it; `payload` [kg] is what hangs at the arm's tool when nothing was attached."""
        self._commission()
        explored = self._explore()
        self._stage("Both models are fitted to the arm")
        fit = fit_planner(explored, self._folder / "planner", self._seed, self._screen)
        chosen = "the fitted model plans" if fit.kept else "the twin's model stays the better one, and plans"
        self._screen.tell(
            f"the planner's model, {len(fit.after)} steps ahead: {1e3 * fit.before[-1]:.0f} mrad off as trained on the "
            f"twin, {1e3 * fit.after[-1]:.0f} mrad as fitted to the arm: {chosen}"
        )
        train_monitor(self._ensemble, self._arm.joint_names, explored, self._screen)
        nominal = self._fly_nominal()
        calibration = calibrate_doubt(
            self._ensemble, self._thresholds, self._arm.joint_names, nominal, self._pace, self._screen
        )
        self._reach(calibration.thresholds, payload)
        stand.check_parked(self._arm, self._process, self._screen)
        return Findings(
            arm=self._arm,
            seed=self._seed,
            pace=self._pace,
            fit=fit,
            calibration=calibration,
            bundle=self._bundle is not None,
        )

    @property
    def _ensemble(self) -> Path:
        return self._folder / "monitor.onnx"

    @property
    def _thresholds(self) -> Path:
        return self._folder / "thresholds.yaml"

    def _stage(self, title: str) -> None:
        self._screen.stage(title)
        self._journal.note("stage", title)

    def _commission(self) -> None:
        self._stage("The arm is found, calibrated by an emulated hand, and checked")
        arm, port, clock, screen = self._arm, self._process.port, self._clock, self._screen
        calibration = self._folder / "calibration.yaml"
        stand.scan(arm, port, clock, screen)
        stand.calibrate(arm, self._process, calibration, clock, screen)
        stand.check(arm, port, calibration, clock, screen)
        self._pose = stand.rise(arm, self._robot, clock, screen)

    def _explore(self) -> list[FlightEpisode]:
        """Smooth motion, then each policy's first tries, the planner's with the twin's model, under the monitor."""
        self._stage("The arm explores: smooth random motion, then first tries at targets, under the monitor")
        policies = self._policies(self._planner("planner-from-twin.yaml", START))
        motion = exploration(self._free, self._pose, self._pace.exploring, self._random, self._folder)
        legs = [*motion, *self._in_turn(policies, self._pace.tries)]
        self._fly("explore", legs, self._fly_all(legs))
        return read_episodes(self._logs("explore"), self._arm.joint_names, nominal=False)[1]

    def _fly_nominal(self) -> list[FlightEpisode]:
        """Legs as the policies will fly them, one by each policy in turn."""
        self._stage(f"{self._pace.nominal} nominal legs, from which the thresholds of doubt are taken")
        policies = self._policies(self._planner("planner.yaml", self._folder / "planner"))
        legs = self._in_turn(policies, self._pace.nominal)
        self._fly("nominal", legs, fly_legs(len(legs), self._pace.dwell, self._journal.note))
        return read_episodes(self._logs("nominal"), self._arm.joint_names, self._pace.dwell, nominal=False)[1]

    def _reach(self, thresholds: UncertaintySettings, payload: float) -> None:
        """Targets for each policy, watched by the calibrated model; then disturbances; then the park pose."""
        policies = self._policies(f"pets:{self._folder / 'planner.yaml'}")
        if self._bundle is None:
            self._screen.tell("no Dreamer bundle ships with this version: only the planner reaches for targets")
        self._stage(f"{self._pace.targets} targets for each policy, watched; then disturbances; then the park pose")
        # In turn, as the nominal legs were: the thresholds hold for more of the same.
        legs = self._in_turn(policies, len(policies) * self._pace.targets)
        self._fly(
            "reach",
            legs,
            self._perform(legs, payload),
            {
                "ensemble": self._ensemble,
                "safety": MonitorThresholds(uncertainty=thresholds).over(LATENESS),
                "park": True,
                "release": True,
            },
        )

    def _perform(self, legs: Sequence[Leg], payload: float) -> Script:
        yield from self._fly_all(legs)
        for disturbance in disturbances(self._process.control, payload):
            yield from disturb(disturbance, self._pace.patience, self._journal.note)
        yield from fly(1.0, self._journal.note)

    def _fly_all(self, legs: Sequence[Leg]) -> Script:
        """The time of `legs`, with a stop for each at most."""
        return fly(sum(leg.seconds for leg in legs), self._journal.note, len(legs))

    def _policies(self, planner: str) -> list[str]:
        return [planner] if self._bundle is None else [planner, f"bundle:{self._bundle}"]

    def _in_turn(self, policies: list[str], count: int) -> list[Leg]:
        """So many legs with new goals, one by each policy in turn."""
        goals = self._goals.draw(count)
        return [self._leg(policies[index % len(policies)], goal) for index, goal in enumerate(goals)]

    def _planner(self, name: str, run: Path) -> str:
        """The planner on the run at `run`, as the name of a policy."""
        path = self._folder / name
        settings = PlannerFile(run=run, planner=PLANNER, limits=LIMITS, speed=SPEED, budget=BUDGET)
        path.write_text(dump_settings(settings), encoding="utf-8")
        return f"pets:{path}"

    def _fly(self, name: str, legs: Sequence[Leg], script: Script, more: Mapping[str, Any] | None = None) -> None:
        """Fly `legs` under `script`; the log goes to the folder `name`, `more` replaces settings of the deployment."""
        path = self._folder / f"{name}.yaml"
        path.write_text(dump_settings(TourSettings(legs=tuple(legs))), encoding="utf-8")
        settings = {
            "session": f"demo-{os.getpid()}",
            "robot": self._robot,
            "policy": f"tour:{path}",
            "loop": LOOP,
            "log": self._folder / "logs" / name,
            "guardian_bound": GUARDIAN_BOUND,
            "safety": LATENESS,
            **(more or {}),
        }
        fly_deployment(DeploySettings.model_validate(settings), script, self._screen, self._clock)

    def _leg(self, policy: str, goal: tuple[float, float, float]) -> Leg:
        return Leg(policy=policy, seconds=self._pace.dwell, goal=goal)

    def _logs(self, name: str) -> list[Path]:
        return sorted((self._folder / "logs" / name).glob(FLIGHT_PATTERN))
