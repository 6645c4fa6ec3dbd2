"""A position is compared with the physics while the joint stands still, and may be off by one tick."""

from collections.abc import Iterator

import numpy as np
import pytest

from robot_mbrl.benchmarks.crosscheck.case import Mismatch
from robot_mbrl.benchmarks.crosscheck.physics import Physics
from robot_mbrl.drivers.arms import RAD_PER_TICK, load_arm
from robot_mbrl.drivers.virtual.control_client import Truth

ARM = load_arm("so101_follower")
N = len(ARM.joints)
TICK = 2148
"""100 ticks past the zero of every joint of this arm."""


def truth(velocity: float = 0.0, time: float = 0.0) -> Truth:
    """Every joint 100 ticks past its zero."""
    zeros = np.zeros(N)
    return Truth(0, time, zeros + 100 * RAD_PER_TICK, zeros + velocity, zeros, zeros, zeros, zeros + TICK, zeros > 0.0)


def physics(*looks: Truth) -> Physics:
    """Physics that shows `looks` one after the other."""
    coming: Iterator[Truth] = iter(looks)
    return Physics(ARM.joints, lambda: next(coming))


@pytest.mark.parametrize("error", [-1, 0, 1])
def test_a_tick_of_quantization_is_agreement(error: int) -> None:
    ticks = [TICK] * (N - 1) + [TICK + error]
    assert physics(truth(), truth()).read_at_rest(lambda: ticks) == ticks


@pytest.mark.parametrize("error", [-2, 2])
def test_two_ticks_are_a_mismatch(error: int) -> None:
    ticks = [TICK] * (N - 1) + [TICK + error]
    with pytest.raises(Mismatch, match="2 ticks apart"):
        physics(truth(), truth()).read_at_rest(lambda: ticks)


def test_what_is_read_in_motion_is_read_again() -> None:
    readings = iter([[0] * N, [TICK] * N])
    looks = physics(truth(velocity=1.0), truth(), truth(), truth())
    assert looks.read_at_rest(lambda: next(readings)) == [TICK] * N


def test_a_slow_joint_counts_as_moving_when_much_time_has_passed() -> None:
    readings = iter([[0] * N, [TICK] * N])
    slow = 0.1 * RAD_PER_TICK
    looks = physics(truth(slow, 0.0), truth(slow, 10.0), truth(slow, 10.0), truth(slow, 10.001))
    assert looks.read_at_rest(lambda: next(readings)) == [TICK] * N


def test_one_joint_may_be_compared_while_others_move() -> None:
    moving = truth()
    moving.velocity[1:] = 5.0
    assert physics(moving, moving).read_at_rest(lambda: [TICK], slice(0, 1)) == [TICK]
