"""Faults of the policy: actions that must not be executed, and motions that lead into limits, table or the arm itself.

For a whole motion the policy is frozen and actions are sent in its place, at its rate: for the control process there is
no difference.
"""

import signal
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.benchmarks.stop_proof.kinds import Continue, Kind, Make, Visible
from robot_mbrl.benchmarks.stop_proof.motion import FULL_SPEED, MIDDLE
from robot_mbrl.benchmarks.stop_proof.stage import ARM, POLICY_RATE, Stage
from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.sim.geometry import MujocoGeometry

BEYOND: Final = 0.4
"""How far past a limit a wrong motion goes [rad]."""
JUMP: Final = 1.2
"""[rad]."""
HOUR: Final = 3600.0
FADE: Final = 0.3
"""In which one motion goes over into the other [s]: a joint that turns round at full speed takes 23 rad/s² for it, of
the 38 that it may have."""
TABLE_POSE: Final = (0.0, 0.7, 0.6, 0.9, 0.0, 0.5)
"""The gripper is in the table [rad]."""
SELF_POSE: Final = (0.0, -1.6, 1.2, 1.6, 0.0, 0.75)
"""The gripper is in the shoulder [rad], and was 0.08 m above the table on its way there."""
NEAR: Final = 0.01
"""A pose with less clearance is a collision to come [m]."""

Plan = Callable[[Stage, FloatArray], Callable[[float], FloatArray]]
"""Takes the stage and the last goal (n,), gives goals (n,) by the time since then [s]."""


def commanded(stage: Stage) -> FloatArray:
    """(n,) the policy's newest goal [rad]."""
    return stage.frame["action_position"][0, : len(stage.arm.joints)].copy()


def one_action(change: Callable[[FloatArray], FloatArray]) -> Make:
    """Sends one changed action amid those of the policy."""

    def make(stage: Stage) -> None:
        stage.send_action(change(commanded(stage)))

    return make


def other_policy(plan: Plan, *, age: float = 0.0) -> Make:
    """Freezes the policy and goes on in its place and in its time, with actions made to look older by `age` [s]."""

    def make(stage: Stage) -> Continue:
        stage.send_signal("policy", signal.SIGSTOP)
        goals = plan(stage, commanded(stage))
        # From the policy's last action on: one that came sooner or later than its next would have would be a kink.
        start_ns = int(stage.frame["action_ns"][0])
        next_ns = start_ns + to_ns(1.0 / POLICY_RATE)

        def go_on() -> None:
            nonlocal next_ns
            now_ns = stage.now_ns()
            if now_ns >= next_ns:
                next_ns += to_ns(1.0 / POLICY_RATE)
                stage.send_action(goals((now_ns - start_ns) * 1e-9), age=age)

        go_on()
        return go_on

    return make


def goal_velocity(stage: Stage) -> FloatArray:
    """(n,) velocity of the goals over the last frames [rad/s]."""
    frames = stage.observer.recent(6)
    goals = frames["requested_position"][:, : len(stage.arm.joints)]
    seconds = (int(frames["deadline_ns"][-1]) - int(frames["deadline_ns"][0])) * 1e-9
    velocity: FloatArray = (goals[-1] - goals[0]) / seconds
    return velocity


def faded_out(start: FloatArray, velocity: FloatArray) -> FloatArray:
    """(n,) where goals come to rest that fade from `velocity` [rad/s] at `start` [rad], over `FADE`."""
    return start + velocity * FADE / 2.0


def line_to(target: FloatArray) -> Plan:
    """From the last goal to `target` (n,) [rad] at `FULL_SPEED`, without a step in velocity.

    With the goals' velocity v at first, the old motion fades over the time T, `start + v (t - t² / 2T)`, and the new
    one sets in over the same time, so that nothing but where it leads is wrong with it.
    """

    def plan(stage: Stage, start: FloatArray) -> Callable[[float], FloatArray]:
        velocity = goal_velocity(stage)
        way = target - faded_out(start, velocity)
        rate = FULL_SPEED / float(np.abs(way).max())

        def goals(elapsed: float) -> FloatArray:
            faded = min(elapsed, FADE)
            share = rate * (faded * faded / (2.0 * FADE) + max(0.0, elapsed - FADE))
            return start + velocity * (faded - faded * faded / (2.0 * FADE)) + min(share, 1.0) * way

        return goals

    return plan


def past_limit(joint: int) -> Plan:
    """A line past that limit of `joint` on whose way the arm stays clearest of itself and the table.

    The other joints come to rest where their old motion leads them.
    """

    def plan(stage: Stage, start: FloatArray) -> Callable[[float], FloatArray]:
        geometry = MujocoGeometry(stage.arm)
        end = faded_out(start, goal_velocity(stage))
        lines = []
        for limit, side in zip(stage.arm.joints[joint].position_limits, (-1.0, 1.0), strict=True):
            target = end.copy()
            target[joint] = limit
            way = [end + share * (target - end) for share in np.linspace(0.0, 1.0, 30)]
            target[joint] += side * BEYOND
            lines.append((min(geometry.clearance(pose).distance for pose in way), target))
        _, target = max(lines, key=lambda line: line[0])
        return line_to(target)(stage, start)

    return plan


def limit_crossed(joint: int) -> Visible:
    """Frames whose action is past a limit of `joint`."""

    def visible(arm: ArmDefinition, _before: NDArray[np.void], after: NDArray[np.void]) -> NDArray[np.bool_]:
        low, high = arm.joints[joint].position_limits
        goal: FloatArray = after["action_position"][:, joint]
        return (goal < low) | (goal > high)

    return visible


def collision_ahead(arm: ArmDefinition, _before: NDArray[np.void], after: NDArray[np.void]) -> NDArray[np.bool_]:
    """Frames whose action is a pose with less clearance than `NEAR`."""
    geometry = MujocoGeometry(arm)
    goals = after["action_position"][:, : len(arm.joints)]
    return np.array([geometry.clearance(goal).distance < NEAR for goal in goals], bool)


def _spoilt(value: float) -> Callable[[FloatArray], FloatArray]:
    def change(goal: FloatArray) -> FloatArray:
        goal[2] = value
        return goal

    return change


def _jump(_stage: Stage, start: FloatArray) -> Callable[[float], FloatArray]:
    far = start.copy()
    far[0] += -JUMP if start[0] > 0.0 else JUMP
    return lambda _elapsed: far


ACTIONS: Final = (
    Kind("nan action", "policy", "one action holds a NaN", one_action(_spoilt(np.nan))),
    Kind("infinite action", "policy", "one action holds an infinity", one_action(_spoilt(np.inf))),
    Kind("action jump", "policy", f"the base's goal jumps by {JUMP} rad", other_policy(_jump)),
    Kind(
        "planner clock ahead",
        "policy",
        "the planner's clock is set 1 h ahead, so that its actions never expire",
        other_policy(line_to(np.array(MIDDLE)), age=-HOUR),
    ),
    Kind(
        "planner clock behind",
        "policy",
        "the planner's clock is set 1 h back",
        other_policy(line_to(np.array(MIDDLE)), age=HOUR),
    ),
)

MOTIONS: Final = (
    *(
        Kind(
            f"past the limit of {joint.name}",
            "motion",
            f"the policy leads {joint.name} {BEYOND} rad past a limit",
            other_policy(past_limit(index)),
            visible=limit_crossed(index),
        )
        for index, joint in enumerate(load_arm(ARM).joints)
    ),
    Kind(
        "course into the table",
        "motion",
        "the policy leads the gripper into the table",
        other_policy(line_to(np.array(TABLE_POSE))),
        visible=collision_ahead,
    ),
    Kind(
        "course into itself",
        "motion",
        "the policy folds the arm into itself",
        other_policy(line_to(np.array(SELF_POSE))),
        visible=collision_ahead,
    ),
)
