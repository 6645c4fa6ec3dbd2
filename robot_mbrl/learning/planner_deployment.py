"""From a trained run to a policy: what `robot-mbrl deploy --policy pets:FILE` builds."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from robot_mbrl.contracts.config import load_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.learning.task_models_arm import ReachModel
from robot_mbrl.learning.trained_run import load_run
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.fast_planner import FastPlanner, FastPlannerSettings
from robot_mbrl.policies.joint_space import JointSpace
from robot_mbrl.policies.plan_parts import beginning
from robot_mbrl.policies.planner_policy import PlannerPolicy, PlannerPolicySettings
from robot_mbrl.policies.task_model import Float32Array
from robot_mbrl.sim.tasks.reach import ReachTask
from robot_mbrl.sim.tasks.task import CONTROL_PERIOD


class PlannerFile(PlannerPolicySettings):
    """The file.

    Attributes:
        run: run folder of `robot-mbrl train pets`, from the file's own folder on.
        planner: replaces the planner that the run was trained with.
        limits: lowest and highest angle [rad] of joints that plans keep to a part of their range, by name: a planner
            knows of tables and limits, but not of links that fold onto each other.
        threads: of the networks.
        seed: of the candidates.
    """

    run: Path
    planner: FastPlannerSettings | None = None
    limits: dict[str, tuple[float, float]] = Field(default_factory=dict)
    threads: int = Field(default=1, ge=1, le=256)
    seed: int = Field(default=0, ge=0)


class ReachOnArm:
    """`policies.planner_policy.ArmTask` of the task `reach`."""

    def __init__(self, model: ReachModel, ensemble: ProbabilisticEnsemble, speed: float) -> None:
        """Use the task's model and what was learned of it; no target moves by more than `speed` of a full action."""
        self._model, self._ensemble = model, ensemble
        self._task = model.task
        self._farthest = speed * model.task.action_scale

    @property
    def period(self) -> float:
        """Of the model's steps [s]."""
        return CONTROL_PERIOD

    @property
    def step(self) -> FloatArray:
        """(n,) change of the targets that a full action makes [rad]."""
        return self._task.action_scale

    def state(self, position: FloatArray, velocity: FloatArray, targets: FloatArray, goal: FloatArray) -> Float32Array:
        """The state (d,), with the tool where the joints put it."""
        with torch.no_grad():
            tool = self._model.kinematics.place(torch.as_tensor(position, dtype=torch.float32)).numpy()
        return np.concatenate([position, velocity, targets, tool, goal]).astype(np.float32)

    def action(self, targets: FloatArray, after: FloatArray) -> Float32Array:
        """The action (n,) from `targets` to `after` (n,) [rad]."""
        share: Float32Array = np.clip((after - targets) / self._task.action_scale, -1.0, 1.0).astype(np.float32)
        return share

    def next_targets(self, targets: FloatArray, action: Float32Array) -> FloatArray:
        """Targets (n,) [rad] after `action` (n,); one that lies outside the plans' limits comes back step by step."""
        after = self._task.next_targets(targets, action.astype(np.float64))
        return np.clip(after, targets - self._farthest, targets + self._farthest)

    def predict(self, state: Float32Array, action: Float32Array) -> Float32Array:
        """The state (d,) that the ensemble's mean expects a period later."""
        with torch.no_grad():
            after: Float32Array = beginning(self._model, self._ensemble, state, action[None]).numpy()
        return after


def narrowed(arm: ArmDefinition, limits: Mapping[str, tuple[float, float]], source: str) -> ArmDefinition:
    """`arm` with narrower position limits [rad] of the joints that `limits` names.

    Raises:
        ConfigError: no such joint, or limits that are no part of the joint's own; `source` names what asked for them.
    """
    for name, (low, high) in limits.items():
        if name not in arm.joint_names:
            raise ConfigError(f"{source}: no joint {name!r} on {arm.name}: give one of {', '.join(arm.joint_names)}")
        lowest, highest = arm.joints[arm.joint_names.index(name)].position_limits
        if not lowest <= low < high <= highest:
            raise ConfigError(
                f"{source}: limits {low}..{high} rad of {name}: give a lower one and a higher one within "
                f"{lowest}..{highest} rad"
            )
    joints = (
        joint.model_copy(update={"position_limits": limits.get(joint.name, joint.position_limits)})
        for joint in arm.joints
    )
    return arm.model_copy(update={"joints": tuple(joints)})


def _require_equal(source: str, what: str, unit: str, theirs: FloatArray, ours: FloatArray) -> None:
    """Compare the numbers of a run's arm with this arm's.

    Raises:
        ConfigError: they differ, so that the run's states and actions mean something else.
    """
    if not np.allclose(theirs, ours, rtol=0.0, atol=1e-9):
        raise ConfigError(
            f"{source} has {what} {np.round(theirs, 4).tolist()} {unit}, this arm {np.round(ours, 4).tolist()}: give a "
            "run that was trained with this arm's definition"
        )


def build(path: Path | None, space: JointSpace) -> PlannerPolicy:
    """The policy that the file at `path` describes, for the arm of `space`.

    Raises:
        ConfigError: the file or the run cannot be used, or the run is of another arm or of a task that a planner cannot
            do with the arm's own sensors.
    """
    if path is None:
        raise ConfigError("policy pets needs a file: give pets:FILE, which names a run of `robot-mbrl train pets`")
    settings = load_settings(path, PlannerFile)
    run = load_run(path.parent / settings.run)
    model = run.task.model
    if not isinstance(model, ReachModel):
        raise ConfigError(
            f"{path}: run {settings.run} is of the task {run.settings.task}: on an arm `reach` can be planned, whose "
            "state its own sensors tell"
        )
    theirs = model.task.arm
    if (theirs.model, theirs.joint_names) != (space.arm, space.names):
        raise ConfigError(
            f"{path}: run {settings.run} is of {theirs.name} with {', '.join(theirs.joint_names)}, this arm is a "
            f"{space.arm} with {', '.join(space.names)}: give a run that was trained on it"
        )
    source = f"{path}: run {settings.run}"
    _require_equal(source, "position limits", "rad", model.task.position_limits, space.position_limits)
    speeds = model.task.action_scale / CONTROL_PERIOD
    _require_equal(source, "top speeds", "rad/s", speeds, space.velocity_limits)
    if settings.limits:
        model = ReachModel(ReachTask(narrowed(theirs, settings.limits, str(path))))
    torch.set_num_threads(settings.threads)
    model.action_low, model.action_high = settings.speed * model.action_low, settings.speed * model.action_high
    wanted = settings.planner
    if wanted is None:
        trained = run.settings.planner_settings
        wanted = trained if isinstance(trained, FastPlannerSettings) else FastPlannerSettings()
    generator = torch.Generator().manual_seed(settings.seed)
    planner = FastPlanner(model, run.ensemble, wanted, generator, space.clock, run.guide)
    return PlannerPolicy(planner, ReachOnArm(model, run.ensemble, settings.speed), settings, space)
