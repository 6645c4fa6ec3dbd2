"""A joint trajectory from a YAML file: waypoints, joined by smooth legs that come to rest at each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from robot_mbrl.contracts.config import Settings, load_settings
from robot_mbrl.contracts.errors import ConfigError, LimitViolation
from robot_mbrl.contracts.types import Action, FloatArray
from robot_mbrl.policies.joint_space import SMOOTH_STEP_PEAK, JointSpace, smooth_step


class Waypoint(Settings):
    """A pose and how long the way to it takes.

    Attributes:
        duration: of the leg that ends here [s].
        position: goals by joint name [rad]; joints that are not named stay where they are.
    """

    duration: float = Field(gt=0.0)
    position: dict[str, float]


class Trajectory(Settings):
    """The file.

    Attributes:
        waypoints: in order. The first one names every joint, so that the whole path is known, and is checked, before
            the arm moves.
        approach_speed: of the fastest joint on the way from wherever the arm stands to the first waypoint [rad/s];
            that leg takes longer than its duration when it has to.
        repeat: go on with the first waypoint after the last; otherwise the last one is held.
    """

    waypoints: tuple[Waypoint, ...] = Field(min_length=1)
    approach_speed: float = Field(default=0.5, gt=0.0)
    repeat: bool = False


@dataclass(frozen=True, slots=True)
class _Leg:
    """`start + smooth_step(t / duration) (end - start)`."""

    start: FloatArray
    end: FloatArray
    duration: float

    def at(self, time: float) -> FloatArray:
        return self.start + smooth_step(time / self.duration) * (self.end - self.start)


class ScriptedPolicy:
    """Follows a trajectory by the episode's time."""

    def __init__(self, trajectory: Trajectory, space: JointSpace, source: str = "scripted") -> None:
        """Check every leg against the arm's limits.

        Raises:
            ConfigError: a joint that the arm does not have, or one that the first waypoint leaves out.
            LimitViolation: a goal or the speed of a leg outside a joint's limits.
        """
        self._space = space
        self._source = source
        self._trajectory = trajectory
        self._approach: _Leg | None = None
        self._poses = self._checked_poses()
        rows = list(zip(self._poses[:-1], self._poses[1:], trajectory.waypoints[1:], strict=True))
        if trajectory.repeat:
            rows.append((self._poses[-1], self._poses[0], trajectory.waypoints[0]))
        self._legs = [_Leg(start, end, waypoint.duration) for start, end, waypoint in rows]
        self._check_speeds()

    def _checked_poses(self) -> list[FloatArray]:
        """(n,) each, one for every waypoint."""
        waypoints, names = self._trajectory.waypoints, self._space.names
        missing = [name for name in names if name not in waypoints[0].position]
        if missing:
            raise ConfigError(
                f"{self._source}: the first waypoint leaves out {', '.join(missing)}: give it a goal for every joint"
            )
        poses: list[FloatArray] = []
        pose = np.zeros(len(names))
        for number, waypoint in enumerate(waypoints, start=1):
            pose = pose.copy()
            for name, goal in waypoint.position.items():
                index = self._space.index(name, f"{self._source}: waypoint {number}")
                low, high = self._space.position_limits[index]
                if not low <= goal <= high:
                    raise LimitViolation(
                        f"{self._source}: waypoint {number}: {name} at {goal} rad lies outside {low}..{high} rad: "
                        "give a goal inside"
                    )
                pose[index] = goal
            poses.append(pose)
        return poses

    def _check_speeds(self) -> None:
        for number, leg in enumerate(self._legs, start=1):
            peaks = SMOOTH_STEP_PEAK * np.abs(leg.end - leg.start) / leg.duration
            for name, peak, fastest in zip(self._space.names, peaks, self._space.velocity_limits, strict=True):
                if peak > fastest:
                    raise LimitViolation(
                        f"{self._source}: leg {number}: {name} peaks at {peak:.3f} rad/s, its limit is {fastest:.3f} "
                        f"rad/s: give the leg more than {leg.duration} s"
                    )
        slowest = int(np.argmin(self._space.velocity_limits))
        if self._trajectory.approach_speed > self._space.velocity_limits[slowest]:
            raise LimitViolation(
                f"{self._source}: approach_speed {self._trajectory.approach_speed} rad/s is above the "
                f"{self._space.velocity_limits[slowest]} rad/s of {self._space.names[slowest]}: give less"
            )

    def reset(self) -> None:
        """Begin again, from the pose of the next step."""
        self._approach = None

    def act(self, observation: Mapping[str, FloatArray]) -> Action:
        """The trajectory at `observation["time"]`; see `joint_space` for what is in an observation."""
        if self._approach is None:
            self._approach = self._plan_approach(self._space.inside(observation["commanded"]))
        return self._space.action(self._at(float(observation["time"][0]), self._approach))

    def _plan_approach(self, start: FloatArray) -> _Leg:
        end = self._poses[0]
        shortest = SMOOTH_STEP_PEAK * float(np.abs(end - start).max()) / self._trajectory.approach_speed
        return _Leg(start, end, max(self._trajectory.waypoints[0].duration, shortest))

    def _at(self, time: float, approach: _Leg) -> FloatArray:
        if time < approach.duration or not self._legs:
            return approach.at(time)
        time -= approach.duration
        if self._trajectory.repeat:
            time %= sum(leg.duration for leg in self._legs)
        for leg in self._legs:
            if time < leg.duration:
                return leg.at(time)
            time -= leg.duration
        return self._legs[-1].end


def load_trajectory(path: Path) -> Trajectory:
    """Read a trajectory.

    Raises:
        ConfigError: the file cannot be read, or is malformed.
    """
    return load_settings(path, Trajectory)
