"""A task's episodes and observations in MuJoCo's arrays: one place for the single and the batched environment."""

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import SimulationError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.sim.addresses import Addresses
from robot_mbrl.sim.apply import apply_truth
from robot_mbrl.sim.model import build_spec
from robot_mbrl.sim.parameters import ArmTruth
from robot_mbrl.sim.randomization import Randomization
from robot_mbrl.sim.tasks.task import CONTROL_PERIOD, Episode, Task


class World:
    """What the arrays of a task's model mean.

    Attributes:
        task: the task.
        addresses: of the arm and the cube in the model's arrays.
        substeps: physics steps in one control period.
    """

    def __init__(self, task: Task, model: mujoco.MjModel) -> None:
        self.task = task
        self.addresses = Addresses(model, task.arm)
        self.substeps: int = round(CONTROL_PERIOD / model.opt.timestep)

    def start(self, model: mujoco.MjModel, data: mujoco.MjData, episode: Episode) -> None:
        """Put `data` at the start of `episode`: at rest, targets at the joints' positions, places up to date."""
        mujoco.mj_resetData(model, data)
        data.qpos[self.addresses.position] = episode.joints
        if episode.object_position is not None:
            self.addresses.place_cube(data.qpos, episode.object_position)
        data.ctrl[self.addresses.control] = episode.joints
        _fill_history(model, data)
        mujoco.mj_kinematics(model, data)

    def observe(
        self, qpos: FloatArray, qvel: FloatArray, site_xpos: FloatArray, targets: FloatArray, goal: FloatArray
    ) -> FloatArray:
        """Observations of states, a new array.

        Args:
            qpos: (..., nq) MuJoCo's positions.
            qvel: (..., nv) MuJoCo's velocities.
            site_xpos: (..., nsite, 3) places of the sites, of the same state.
            targets: (..., n) joint targets [rad].
            goal: (..., 3) [m].

        Returns:
            (..., size), as `task.layout` says.
        """
        places = self.addresses
        parts = [qpos[..., places.position], qvel[..., places.velocity], targets, site_xpos[..., places.tool, :]]
        if self.task.has_object:
            parts += [qpos[..., places.cube_position], qvel[..., places.cube_velocity]]
        return np.concatenate([*parts, goal], axis=-1)


def build_task_model(task: Task, truth: ArmTruth, randomization: Randomization | None) -> mujoco.MjModel:
    """The model of `task` with the parameters of `truth`, with room for every truth that `randomization` draws.

    Raises:
        ConfigError: `truth` is another arm's or has backlash.
    """
    delay = max(joint.command_delay for joint in truth.joints)
    drawn = randomization.ranges.get("command_delay") if randomization is not None else None
    if drawn is not None:
        delay = {"scale": delay * drawn.high, "shift": delay + drawn.high, "absolute": drawn.high}[drawn.applies]
    spec = build_spec(task.arm, task.scene, "position", backlash=truth.has_backlash, longest_delay=delay)
    model = spec.compile()
    apply_truth(model, task.arm, truth)
    return model


def _fill_history(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Fill delayed motors' histories with the present targets: MuJoCo's reset leaves goals of 0 in them."""
    for motor in np.flatnonzero(model.actuator_history[:, 0]).tolist():
        samples = model.actuator_history[motor, 0]
        mujoco.mj_initCtrlHistory(model, data, motor, None, np.full(samples, data.ctrl[motor]))


def check_physics(warnings: NDArray[np.integer[Any]], time: float, name: str) -> None:
    """Refuse to go on after MuJoCo warned.

    Raises:
        SimulationError: naming the warnings, whose counts are `warnings`.
    """
    if warnings.any():
        names = ", ".join(mujoco.mjtWarning(int(index)).name for index in np.flatnonzero(warnings))
        raise SimulationError(f"{name}: the physics raised {names} at {time:.3f} s: reset the environment")
