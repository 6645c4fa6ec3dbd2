"""What a task is: a scene, episodes drawn at random, a dense reward and a measure of success.

Rewards are pure functions of arrays, so that a planner can score what a learned model predicts.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.sim.scene import Cube, Scene
from robot_mbrl.sim.tasks.layout import Layout
from robot_mbrl.sim.tasks.workspace import Workspace

CONTROL_PERIOD = 0.05
"""Time between actions [s]."""

TIMESTEP = 0.002
"""Step of the physics [s].

Against steps of 0.1 ms, with full-speed random motion of an SO-101 over the table, the tool is off by 0.36 mm (root
mean square) at 1 ms, 0.79 mm at 2 ms, 1.8 mm at 5 ms and 4.5 mm at 10 ms. Tasks have rigid gears; the play of ±0.5° a
joint that they leave out is several times 0.79 mm at the tool, so a step of 1 ms would double the cost in vain.
"""

OBSERVATION_SPAN = {
    "joints": 2.0 * np.pi,
    "velocities": 100.0,
    "targets": 2.0 * np.pi,
    "tool": 2.0,
    "object": 10.0,
    "object_velocity": 100.0,
    "goal": 2.0,
}
"""Largest magnitude that each part of an observation can have, in its own unit."""

REWARD_SCALE = 0.1
"""Distance [m] at which `closeness` has fallen to 0.24."""

EFFORT_WEIGHT = 0.01
"""Reward lost by full-speed motion of all joints."""


@dataclass(frozen=True, slots=True)
class Episode:
    """How an episode starts.

    Attributes:
        joints: (n,) joint positions and targets [rad].
        goal: (3,) [m], base frame.
        object_position: (3,) [m], base frame; None in tasks without an object.
    """

    joints: FloatArray
    goal: FloatArray
    object_position: FloatArray | None = None


class Task(ABC):
    """A task of one arm. An action changes the joint targets: -1..1 is full speed down or up for one period.

    Attributes:
        name: lower case.
        time_limit: steps of an episode.
        tolerance: a `distance` below this is success [m].
        scene: what stands around the arm, and the physics' timestep.
        arm: the arm.
        layout: of observations.
        position_limits: (n, 2) of joint targets [rad].
        action_scale: (n,) change of target that an action of 1 makes [rad], the joint's top speed times the period.
    """

    name: ClassVar[str]
    time_limit: ClassVar[int]
    tolerance: ClassVar[float]
    cube: ClassVar[Cube | None] = None

    def __init__(self, arm: ArmDefinition, timestep: float = TIMESTEP) -> None:
        """Make the task for `arm`; `timestep` [s] must go into the control period a whole number of times.

        Raises:
            ConfigError: it does not.
        """
        if abs(CONTROL_PERIOD / timestep - round(CONTROL_PERIOD / timestep)) > 1e-9:
            raise ConfigError(f"timestep = {timestep} s does not divide the control period of {CONTROL_PERIOD} s")
        self.arm = arm
        self.scene = Scene(cube=self.cube, timestep=timestep)
        self.layout = Layout(len(arm.joints), has_object=self.has_object)
        self.position_limits = np.array([joint.position_limits for joint in arm.joints])
        self._lowest, self._highest = np.ascontiguousarray(self.position_limits.T)
        self.action_scale = CONTROL_PERIOD * np.array([joint.velocity_limit for joint in arm.joints])

    @property
    def has_object(self) -> bool:
        """Whether the scene has an object to move."""
        return self.cube is not None

    @property
    def observation_limits(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest observation, (size,) each: generous, what lies outside is a fault of the physics."""
        span = np.zeros(self.layout.size)
        for name, place in self.layout.slices.items():
            span[place] = OBSERVATION_SPAN[name]
        return -span, span

    @abstractmethod
    def draw_episode(self, workspace: Workspace, random: np.random.Generator) -> Episode:
        """Draw a start without collisions and a goal that the arm can reach.

        Raises:
            SimulationError: none was found in many tries.
        """

    @abstractmethod
    def distance(self, observation: FloatArray) -> FloatArray:
        """What is left to the goal [m], (..., size) -> (...)."""

    @abstractmethod
    def reward(self, observation: FloatArray, action: FloatArray, next_observation: FloatArray) -> FloatArray:
        """Reward of each transition, at most 1.

        Args:
            observation: (N, size) before the action.
            action: (N, n) in -1..1.
            next_observation: (N, size) after it.

        Returns:
            (N,).
        """

    def success(self, observation: FloatArray) -> NDArray[np.bool_]:
        """Whether each observation solves the task, (..., size) -> (...)."""
        return self.distance(observation) < self.tolerance

    def next_targets(self, targets: FloatArray, action: FloatArray) -> FloatArray:
        """Joint targets [rad] after an action, (..., n) and (..., n) -> (..., n): within the position limits."""
        goals = targets + bounded(action) * self.action_scale
        result: FloatArray = np.minimum(np.maximum(goals, self._lowest), self._highest)
        return result


def bounded(action: FloatArray) -> FloatArray:
    """Actions clipped to -1..1. Two calls cost a third of `np.clip` on a few numbers."""
    return np.minimum(np.maximum(action, -1.0), 1.0)


def length(vector: FloatArray) -> FloatArray:
    """Euclidean length over the last axis, (..., k) -> (...)."""
    result: FloatArray = np.sqrt(np.einsum("...i,...i->...", vector, vector))
    return result


def closeness(distance: FloatArray) -> FloatArray:
    """`1 - tanh(distance / 0.1 m)`: 1 at the goal, steepest there, flat far away."""
    result: FloatArray = 1.0 - np.tanh(distance / REWARD_SCALE)
    return result


def effort(action: FloatArray) -> FloatArray:
    """`0.01 mean(a²)` of actions (..., n), what a reward loses by them."""
    applied = bounded(action)
    result: FloatArray = np.einsum("...i,...i->...", applied, applied) * (EFFORT_WEIGHT / action.shape[-1])
    return result
