"""Tries the policy of a bundle at its task: on the twin, and on the emulated arm over its wire, from the same starts.

The twin is the simulation that policies are trained in. The emulated arm adds all that a deployment adds: servos with
backlash and encoder steps, their bus, the control loop that runs from action to action, and the monitor, which may slow
or stop. Both act through `OnnxPolicy`. An episode succeeds when the tool is within the task's tolerance at its end.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.errors import ConfigError, ProcessFailed
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.policies.bundle import read_bundle
from robot_mbrl.policies.onnx_policy import OnnxPolicy
from robot_mbrl.runtime.bundle_defaults import PREFIX, with_bundle
from robot_mbrl.runtime.lockstep_flight import LockstepFlight
from robot_mbrl.runtime.monitor_setup import build_monitor, build_watch
from robot_mbrl.runtime.policy_process import joint_space
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from robot_mbrl.safety.state_machine import LATCHED
from robot_mbrl.sim.geometry import MujocoGeometry
from robot_mbrl.sim.tasks import CONTROL_PERIOD, TaskEnv, make_task
from robot_mbrl.sim.truth import nominal_truth

Place = Literal["twin", "arm"]
"""Where to try: in the simulation of the task, or on the emulated arm."""

TASKS: Final = ("reach",)
"""Tasks that an arm can be tried at: what the others observe beside the arm, nothing here measures."""
RATE: Final = 200.0
"""Of the control loop [Hz], as deployments have it."""
START_CLEARANCE: Final = 0.02
"""Starts from which an arm that is only held comes nearer than this to itself or to the table [m] are left out, in both
places: servos that hold a pose sink by up to 0.15 rad, and the monitor would stop the arm before the policy acts. These
are six or seven in a hundred."""
SINKING: Final = 20
"""Control periods in which a held arm sinks."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One episode.

    Attributes:
        distance: of the tool from its goal at the end [m].
        success: whether that is within the task's tolerance.
        stopped: what the arm said of it when it was stopped before the end; None where it was not.
    """

    distance: float
    success: bool
    stopped: str | None = None


def try_bundle(
    folder: Path,
    place: Place,
    episodes: int,
    seed: int,
    arm: str = "so101_follower",
    progress: Callable[[], None] = lambda: None,
) -> list[Trial]:
    """Let the policy of the bundle in `folder` do `episodes` of its task.

    Args:
        folder: of the bundle.
        place: twin or arm.
        episodes: how many.
        seed: from which they are drawn, the same ones in both places.
        arm: name of an arm definition, or the path of one.
        progress: called after each episode.

    Raises:
        ConfigError: see `check_trial`.
        RobotMbrlError: the emulated arm could not be flown.
    """
    check_trial(folder, arm)
    tried = _on_the_twin if place == "twin" else _on_the_arm
    trials = []
    for trial in islice(tried(folder, load_arm(arm), seed), episodes):
        trials.append(trial)
        progress()
    return trials


def check_trial(folder: Path, arm: str) -> None:
    """Refuse what `try_bundle` would refuse, before it takes its time.

    Raises:
        ConfigError: the bundle cannot be used, is another arm's, or its task cannot be tried.
    """
    bundle, definition = read_bundle(folder), load_arm(arm)
    if bundle.manifest.task.name not in TASKS:
        raise ConfigError(f"{folder}: its task is {bundle.manifest.task.name}: only {', '.join(TASKS)} can be tried")
    OnnxPolicy(bundle, joint_space(definition, _deployment(folder, definition, np.zeros(3)), ManualClock()))


def _starts(environment: TaskEnv, geometry: MujocoGeometry, seed: int) -> Iterator[FloatArray]:
    """First observations of one episode after the other, for ever."""
    for number in count(seed):
        environment.reset(seed=number)
        if _can_be_held(environment, geometry):
            seen, _ = environment.reset(seed=number)
            yield seen


def _can_be_held(environment: TaskEnv, geometry: MujocoGeometry) -> bool:
    """Whether the arm keeps its distance while it sinks from where it stands."""
    idle = np.zeros(environment.task.layout.joints)
    for _ in range(SINKING):
        seen, *_ = environment.step(idle)
        if geometry.clearance(environment.task.layout.part(seen, "joints")).distance < START_CLEARANCE:
            return False
    return True


def _deployment(folder: Path, arm: ArmDefinition, goal: FloatArray) -> DeploySettings:
    """As `robot-mbrl deploy --policy bundle:FOLDER --goal ...` would have it."""
    x, y, z = goal.tolist()
    settings = DeploySettings(
        robot=TwinSettings(arm=arm.name), policy=f"{PREFIX}{folder}", goal=(x, y, z), loop=LoopSettings(rate=RATE)
    )
    return with_bundle(settings)


def _on_the_twin(folder: Path, arm: ArmDefinition, seed: int) -> Iterator[Trial]:
    bundle = read_bundle(folder)
    environment = TaskEnv(make_task(bundle.manifest.task.name, arm))
    task = environment.task
    policy = OnnxPolicy(bundle, joint_space(arm, _deployment(folder, arm, np.zeros(3)), ManualClock()))
    for start in _starts(environment, MujocoGeometry(arm), seed):
        seen = start
        info: dict[str, Any] = {"distance": math.nan, "success": False}
        policy.reset()
        for _ in range(task.time_limit):
            parts = {name: task.layout.part(seen, name) for name in task.layout.slices}
            commanded = parts["targets"]
            observed = {"position": parts["joints"], "velocity": parts["velocities"], "commanded": commanded}
            goals = policy.act(observed | {"goal": parts["goal"]}).position
            seen, _, _, _, info = environment.step((goals - commanded) / task.action_scale)
        yield Trial(float(info["distance"]), bool(info["success"]))


def _on_the_arm(folder: Path, arm: ArmDefinition, seed: int) -> Iterator[Trial]:
    bundle = read_bundle(folder)
    environment = TaskEnv(make_task(bundle.manifest.task.name, arm))
    task, geometry = environment.task, MujocoGeometry(arm)
    for start in _starts(environment, geometry, seed):
        goal = task.layout.part(start, "goal")
        settings = _deployment(folder, arm, goal)
        flight = LockstepFlight(
            arm,
            nominal_truth(arm),
            task.layout.part(start, "joints"),
            settings,
            build_monitor(arm, geometry, settings.safety),
            build_watch(arm, settings),
        )
        begun, reason = True, None
        try:
            frames = flight.fly(OnnxPolicy(bundle, flight.space()), task.time_limit * CONTROL_PERIOD)
            if ControlState(int(frames["state"][-1])) in LATCHED or flight.loop.state in LATCHED:
                reason = "; ".join(flight.reports)
        except ProcessFailed as error:
            # The monitor does not let every start pass: that is an arm that did not get there, too.
            begun, reason = False, str(error)
        distance = float(np.linalg.norm(geometry.tool_position(flight.plant.state.position) - goal))
        yield Trial(distance, begun and distance < task.tolerance, reason)
