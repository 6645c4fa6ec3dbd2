"""The sine policy: laws of its path and what it refuses."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from robot_mbrl.contracts.clock import ManualClock, to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.joint_space import JointSpace
from robot_mbrl.policies.sine import SinePolicy, SineSettings

LIMITS = np.array([[-1.0, 1.0], [-0.5, 0.5]])
CLOCK = ManualClock(start_ns=7_000_000_000)
SPACE = JointSpace("two_joints", ("pan", "lift"), LIMITS, np.array([2.0, 1.0]), 0.05, lifetime=0.15, clock=CLOCK)


def observe(time: float, commanded: FloatArray) -> dict[str, FloatArray]:
    return {
        "time": np.array([time]),
        "position": commanded,
        "velocity": np.zeros_like(commanded),
        "commanded": commanded,
    }


def path(policy: SinePolicy, start: FloatArray, times: FloatArray) -> FloatArray:
    """(len(times), n) goals; what is commanded later does not matter."""
    return np.array([policy.act(observe(time, start)).position for time in times])


def test_begins_at_the_commanded_pose_and_swings_the_chosen_joint_only() -> None:
    start = np.array([0.1, -0.2])
    policy = SinePolicy(SineSettings(joints=("pan",), amplitude=0.3, frequency=0.5), SPACE)
    goals = path(policy, start, np.array([0.0, 2.5, 3.0, 3.5]))
    assert_allclose(goals[0], start)
    # Period 2 s, swung in after the first: a quarter, a half and three quarters into the second.
    assert_allclose(goals[1:, 0], [0.4, 0.1, -0.2], atol=1e-12)
    assert_allclose(goals[:, 1], -0.2)


def test_starts_without_a_step_in_velocity_and_acceleration() -> None:
    policy = SinePolicy(SineSettings(amplitude=0.3, frequency=0.5), SPACE)
    step = 1e-3
    goals = path(policy, np.zeros(2), np.linspace(0.0, 4.0 * step, 5))[:, 0]
    assert abs(goals[1] - goals[0]) / step < 1e-4
    assert abs(goals[2] - 2 * goals[1] + goals[0]) / step**2 < 1e-2


def test_never_leaves_the_limits_however_near_to_one_it_starts() -> None:
    policy = SinePolicy(SineSettings(joints=("pan", "lift"), amplitude=0.4, frequency=0.2), SPACE)
    for start in (LIMITS[:, 0], LIMITS[:, 1], np.array([1.2, -0.6])):
        policy.reset()
        goals = path(policy, start, np.linspace(0.0, 20.0, 4001))
        assert (goals >= LIMITS[:, 0] - 1e-12).all()
        assert (goals <= LIMITS[:, 1] + 1e-12).all()


def test_never_is_faster_than_was_checked() -> None:
    policy = SinePolicy(SineSettings(joints=("pan",), amplitude=0.3, frequency=0.6), SPACE)
    for start in (0.0, 1.0, -1.0):
        policy.reset()
        goals = path(policy, np.array([start, 0.0]), np.arange(0.0, 4.0, 1e-3))
        assert np.abs(np.diff(goals[:, 0])).max() / 1e-3 <= 0.3 * 0.6 * (2 * math.pi + 3.75)


def test_reset_takes_the_next_pose_as_the_centre() -> None:
    policy = SinePolicy(SineSettings(), SPACE)
    path(policy, np.zeros(2), np.array([0.0]))
    policy.reset()
    assert_allclose(path(policy, np.array([0.5, 0.1]), np.array([0.0]))[0], [0.5, 0.1])


def test_an_action_expires_its_lifetime_after_it_was_made() -> None:
    action = SinePolicy(SineSettings(), SPACE).act(observe(0.0, np.zeros(2)))
    assert action.expires_ns == CLOCK.now_ns() + to_ns(0.15)
    assert math.isnan(action.disagreement)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (SineSettings(joints=("elbow",)), ("no joint 'elbow'", "pan, lift")),
        (SineSettings(joints=("lift",), amplitude=0.6), ("lift swings 1.200 rad", "1.000 rad", "smaller")),
        (SineSettings(joints=("lift",), amplitude=0.4, frequency=1.0), ("lift may reach 4.013 rad/s", "1.000 rad/s")),
    ],
)
def test_refuses_what_the_arm_cannot_do(settings: SineSettings, parts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        SinePolicy(settings, SPACE)
    for part in parts:
        assert part in str(caught.value)
