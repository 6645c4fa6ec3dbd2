"""Task models of the arm's tasks, reach and push: `sim.tasks` as a planner sees it.

A state is the task's observation (see `sim.tasks.layout`). Learned are the joints' positions and velocities, and the
object's in the table's plane; joint targets follow from the action, the tool's place from the joints, and the goal and
the object's height stay.
"""

from abc import abstractmethod
from typing import Final

import gymnasium
import numpy as np
import torch
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import Box
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.task_models import ObservedTaskModel, as_float32
from robot_mbrl.learning.tool_kinematics import ToolKinematics
from robot_mbrl.policies.task_model import Float32Array
from robot_mbrl.sim.model import build_model
from robot_mbrl.sim.tasks.push import PushTask
from robot_mbrl.sim.tasks.reach import ReachTask
from robot_mbrl.sim.tasks.task import EFFORT_WEIGHT, REWARD_SCALE, Task
from robot_mbrl.sim.truth import nominal_truth

GRIPPER_POINTS: Final = ((0.05, 0.0, 0.0), (0.0, 0.0, 0.05))
"""Points of the tool frame beside its origin, which tell how the gripper is turned [m]."""

SMALL_WAY: Final = 0.001
"""Nearer than this to the goal [m] the way there fades, instead of turning about."""

AIM: Final = 0.35
"""Deviation of the direction of an imagined push [rad]."""

NEARNESS: Final = (0.01, 0.02, 0.04)
"""Lengths [m] by which it is told how near to zero another is: at a few millimetres it changes what to do."""


class ArmModel(ObservedTaskModel):
    """What reach and push share.

    The networks see joint positions and velocities, and how far present and next targets are from the positions:
    a servo answers to that difference, which is small beside the positions themselves.

    Attributes:
        task: rewards, layout and limits.
        arm_model: MuJoCo's, of the arm alone.
        kinematics: of the tool.
    """

    def __init__(self, task: Task) -> None:
        layout, n = task.layout, task.layout.joints
        super().__init__(gymnasium.spaces.Box(-1.0, 1.0, (n,), np.float64))
        self.arm_model = build_model(task.arm, nominal_truth(task.arm).without_backlash())
        self.task = task
        self.kinematics = ToolKinematics(self.arm_model, task.arm.joint_names)
        self.states, self.inputs, self.outputs = layout.size, 4 * n, 2 * n
        self._scale = torch.as_tensor(task.action_scale, dtype=torch.float32)
        self._low, self._high = torch.as_tensor(task.position_limits.T.copy(), dtype=torch.float32)
        self._workspace = task.arm.safety.workspace
        self._box = _corners(self._workspace.box)
        self._keep_outs = [_corners(box) for box in self._workspace.keep_outs]

    def part(self, state: Tensor, name: str) -> Tensor:
        """View of the part `name` of states, (..., d) -> (..., length)."""
        return state[..., self.task.layout.slices[name]]

    def state(self, observation: FloatArray) -> Float32Array:
        """States of observations: the same numbers, (..., d) -> (..., d)."""
        return as_float32(observation)

    def next_targets(self, state: Tensor, action: Tensor) -> Tensor:
        """Joint targets [rad] after an action, within the position limits, (..., d) and (..., n) -> (..., n)."""
        return self._within_limits(self.part(state, "targets") + action.clamp(-1.0, 1.0) * self._scale)

    def model_inputs(self, state: Tensor, action: Tensor) -> Tensor:
        """What the networks see, (..., d) and (..., n) -> (..., i)."""
        joints = self.part(state, "joints")
        servos = (self.part(state, "targets") - joints, self.next_targets(state, action) - joints)
        return torch.cat((joints, self.part(state, "velocities"), *servos), dim=-1)

    def next_state(self, state: Tensor, action: Tensor, output: Tensor) -> Tensor:
        """State after the action when the networks predict `output`, (..., d), (..., n) and (..., o) -> (..., d)."""
        moved = self.learned(state) + output
        n = self.task.layout.joints
        joints, velocities = moved[..., :n], moved[..., n : 2 * n]
        targets = self.next_targets(state, action).expand_as(joints)
        goal = self.part(state, "goal").expand(*moved.shape[:-1], 3)
        cube = self._next_object(state, moved[..., 2 * n :])
        return torch.cat((joints, velocities, targets, self.kinematics.place(joints), *cube, goal), dim=-1)

    def targets(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """What the networks should have predicted, (..., d), (..., n) and (..., d) -> (..., o)."""
        del action
        return self.learned(next_state) - self.learned(state)

    def learned(self, state: Tensor) -> Tensor:
        """The coordinates whose change is learned, (..., d) -> (..., o)."""
        return torch.cat((self.part(state, "joints"), self.part(state, "velocities")), dim=-1)

    def violation(self, state: Tensor) -> Tensor:
        """How deep joints [rad] and tool [m] are past what the monitor allows them, (..., d) -> (..., 2 n + 7 + k).

        Each joint's lowest and highest angle; the workspace's box below and above, its floor, its k keep-outs.
        """
        joints, tool = self.part(state, "joints"), self.part(state, "tool")
        (low, high), floor = self._box, self._workspace.floor - tool[..., 2:]
        inside = [torch.minimum(tool - near, far - tool).amin(dim=-1, keepdim=True) for near, far in self._keep_outs]
        return torch.cat((self._low - joints, joints - self._high, low - tool, tool - high, floor, *inside), dim=-1)

    @abstractmethod
    def imagined_goal(self, state: Float32Array, random: np.random.Generator) -> Float32Array:
        """Another goal (3,) [m] that the task could have in a state (d,)."""

    def _within_limits(self, targets: Tensor) -> Tensor:
        return targets.clamp(self._low, self._high)

    def _next_object(self, state: Tensor, moved: Tensor) -> tuple[Tensor, ...]:
        """The observation's parts of the object, when its learned coordinates become `moved` (..., o - 2 n)."""
        del state, moved
        return ()


class ReachModel(ArmModel):
    """`sim.tasks.reach`: `reward = closeness(|tool - goal|) - effort(action)`.

    A `policies.task_model.LinearInputTask`: joints q and velocities v are learned, targets g follow from the actions,

        (q, v, g - q, g' - q) = (q, v) B + (0, 0, g, g'),    B = ((1, 0, -1, -1), (0, 1, 0, 0))

    Attributes:
        input_matrix: B (o, i).
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        of_joints = torch.tensor([[1.0, 0.0, -1.0, -1.0], [0.0, 1.0, 0.0, 0.0]])
        self.input_matrix = torch.kron(of_joints, torch.eye(task.layout.joints))

    def imagined_goal(self, state: Float32Array, random: np.random.Generator) -> Float32Array:
        """Where the tool would be in another pose, drawn from all that the joints' limits allow."""
        del state
        pose = random.uniform(self._low.numpy(), self._high.numpy()).astype(np.float32)
        return self.kinematics.place(torch.from_numpy(pose)).numpy()

    def known_inputs(self, start: Tensor, actions: Tensor) -> Tensor:
        """(0, 0, targets, next targets) along `actions` (h, k, n) from `start` (d,), (h, k, i)."""
        targets = [self.part(start, "targets").expand_as(actions[0])]
        for change in actions.clamp(-1.0, 1.0) * self._scale:
            targets.append(self._within_limits(targets[-1] + change))
        along = torch.stack(targets)
        nothing = torch.zeros_like(along[1:])
        return torch.cat((nothing, nothing, along[:-1], along[1:]), dim=-1)

    def states_along(self, start: Tensor, known: Tensor, learned: Tensor) -> Tensor:
        """States with the `learned` coordinates (h + 1, e, r, k, o) and the targets of `known` (h, k, i)."""
        n = self.task.layout.joints
        targets = torch.cat((known[:1, :, 2 * n : 3 * n], known[..., 3 * n :]))[:, None, None]
        tool = self.kinematics.place(learned[..., :n])
        goal = self.part(start, "goal").expand_as(tool)
        return torch.cat((learned, targets.expand_as(learned[..., :n]), tool, goal), dim=-1)

    def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """Reward of a transition, (..., d), (..., n) and (..., d) -> (...)."""
        del state
        way = self.part(next_state, "tool") - self.part(next_state, "goal")
        return closeness(way) - effort(action)


class PushModel(ArmModel):
    """`sim.tasks.push`: `reward = 0.8 closeness(|object - goal|) + 0.2 closeness(|tool - object|) - effort(action)`.

    The networks also see the object's velocity, and the gripper and next targets' tool place as seen from the object:
    how it slides does not depend on where on the table it lies.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.inputs += 8 + 3 * len(GRIPPER_POINTS)
        self.outputs += 4
        self._gripper = ToolKinematics(self.arm_model, task.arm.joint_names, GRIPPER_POINTS)

    def model_inputs(self, state: Tensor, action: Tensor) -> Tensor:
        """What the networks see, (..., d) and (..., n) -> (..., i)."""
        shared = super().model_inputs(state, action)
        cube = self.part(state, "object")
        ahead = self.kinematics.place(self.next_targets(state, action))
        seen = (self.part(state, "object_velocity")[..., :2], self.part(state, "tool") - cube, ahead - cube)
        around = (*seen, self._around(state))
        return torch.cat((shared, *(part.expand(*shared.shape[:-1], -1) for part in around)), dim=-1)

    def _around(self, state: Tensor) -> Tensor:
        """Where `GRIPPER_POINTS` are, as seen from the object, (..., 3 p): with the tool's place, how it is held."""
        joints, cube = self.part(state, "joints"), self.part(state, "object")
        return (self._gripper.places(joints) - cube[..., None, :]).flatten(-2)

    def learned(self, state: Tensor) -> Tensor:
        """The coordinates whose change is learned, (..., d) -> (..., o)."""
        cube, rate = self.part(state, "object")[..., :2], self.part(state, "object_velocity")[..., :2]
        return torch.cat((super().learned(state), cube, rate), dim=-1)

    def guide_inputs(self, state: Tensor) -> Tensor:
        """Pose and targets, and where tool, object and goal are as seen from each other, (..., d) -> (..., x).

        The tool's height, the object's way to the goal, and the tool's place along and across that also come as
        `exp(-(length / c)²)` for each c of `NEARNESS`.
        """
        joints, cube = self.part(state, "joints"), self.part(state, "object")
        way = self.part(state, "goal")[..., :2] - cube[..., :2]
        offset = self.part(state, "tool") - cube
        distance = torch.linalg.vector_norm(way, dim=-1, keepdim=True)
        ahead = way / (distance + SMALL_WAY)
        along = (offset[..., :2] * ahead).sum(dim=-1, keepdim=True)
        across = offset[..., :1] * ahead[..., 1:] - offset[..., 1:2] * ahead[..., :1]
        near = torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
        seen = (offset, self._around(state), way, distance, along, across, across.abs(), near, cube[..., :2], ahead)
        lengths = torch.cat((distance, along, across, self.part(state, "tool")[..., 2:]), dim=-1)
        close = [torch.exp(-(lengths / length).square()) for length in NEARNESS]
        return torch.cat((joints, self.part(state, "targets") - joints, *seen, *close), dim=-1)

    def imagined_goal(self, state: Float32Array, random: np.random.Generator) -> Float32Array:
        """A place on the table as far from the object as a goal may be, half of them where the tool would push it to.

        Such a push has an `AIM` that is normally distributed about the line from the tool through the object.
        """
        slices = self.task.layout.slices
        cube = state[slices["object"]]
        from_tool = cube - state[slices["tool"]]
        aimed = np.arctan2(from_tool[1], from_tool[0]) + random.normal(0.0, AIM)
        angle = aimed if random.random() < 0.5 else random.uniform(-np.pi, np.pi)
        way = random.uniform(0.0, PushTask.TRAVEL[1]) * np.array([np.cos(angle), np.sin(angle), 0.0])
        return (cube + way).astype(np.float32)

    def _next_object(self, state: Tensor, moved: Tensor) -> tuple[Tensor, ...]:
        """Place and velocity (..., 3) of the object; it stays at its height."""
        height = self.part(state, "object")[..., 2:].expand(*moved.shape[:-1], 1)
        return moved[..., :2], height, moved[..., 2:], torch.zeros_like(height)

    def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """Reward of a transition, (..., d), (..., n) and (..., d) -> (...)."""
        del state
        cube = self.part(next_state, "object")
        delivery = closeness(cube[..., :2] - self.part(next_state, "goal")[..., :2])
        approach = closeness(self.part(next_state, "tool") - cube)
        share = PushTask.APPROACH_SHARE
        return (1.0 - share) * delivery + share * approach - effort(action)


ARM_MODELS: dict[str, type[ArmModel]] = {ReachTask.name: ReachModel, PushTask.name: PushModel}
"""Task model of each task of the arm."""


def arm_model(task: Task) -> ArmModel:
    """The task model of `task`.

    Raises:
        ConfigError: there is none for it.
    """
    if task.name not in ARM_MODELS:
        raise ConfigError(f"there is no task model for {task.name!r}: there are for {', '.join(ARM_MODELS)}")
    return ARM_MODELS[task.name](task)


def _corners(box: Box) -> tuple[Tensor, Tensor]:
    """Lowest and highest corner (3,) each [m]."""
    return torch.tensor(box.low, dtype=torch.float32), torch.tensor(box.high, dtype=torch.float32)


def closeness(way: Tensor) -> Tensor:
    """`1 - tanh(|way| / 0.1 m)` of vectors [m], (..., k) -> (...)."""
    return 1.0 - torch.tanh(torch.linalg.vector_norm(way, dim=-1) / REWARD_SCALE)


def effort(action: Tensor) -> Tensor:
    """`0.01 mean(a²)` of actions clipped to -1..1, (..., n) -> (...)."""
    return EFFORT_WEIGHT * action.clamp(-1.0, 1.0).square().mean(dim=-1)
