"""The set point's trapezoid, against the textbook's figures."""

import itertools
import math

import pytest

from robot_mbrl.drivers.virtual.profile import TrapezoidProfile

DT = 0.001


def path(profile: TrapezoidProfile, limit: int = 100_000) -> list[float]:
    """Positions, one a period, until the profile rests."""
    positions = [profile.position]
    while profile.moving:
        profile.step()
        positions.append(profile.position)
        assert len(positions) < limit
    return positions


def test_without_limits_the_set_point_jumps() -> None:
    profile = TrapezoidProfile(DT, 100.0)
    profile.aim(900.0)
    profile.step()
    assert profile.position == 900.0
    assert not profile.moving


def test_velocity_limit_alone_makes_a_straight_line() -> None:
    profile = TrapezoidProfile(DT)
    profile.velocity_limit = 500.0
    profile.aim(-1000.0)
    positions = path(profile)
    assert len(positions) - 1 == 2000
    assert positions[1000] == pytest.approx(-500.0)
    assert positions[-1] == -1000.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_trapezoid_takes_distance_over_velocity_plus_velocity_over_acceleration(sign: float) -> None:
    profile = TrapezoidProfile(DT)
    profile.velocity_limit, profile.acceleration_limit = 1000.0, 5000.0
    profile.aim(sign * 2000.0)
    assert (len(path(profile)) - 1) * DT == pytest.approx(2000 / 1000 + 1000 / 5000, abs=0.005)


def test_a_short_way_is_a_triangle() -> None:
    profile = TrapezoidProfile(DT)
    profile.velocity_limit, profile.acceleration_limit = 1000.0, 5000.0
    profile.aim(50.0)
    assert (len(path(profile)) - 1) * DT == pytest.approx(2 * math.sqrt(50 / 5000), abs=0.01)


def test_the_limits_hold_and_the_goal_is_not_passed_even_when_it_changes_on_the_way() -> None:
    profile = TrapezoidProfile(DT)
    profile.velocity_limit, profile.acceleration_limit = 2000.0, 10_000.0
    profile.aim(1500.0)
    positions = [0.0]
    for period in range(4000):
        if period == 400:
            profile.aim(-700.0)
        profile.step()
        positions.append(profile.position)
    velocities = [(b - a) / DT for a, b in itertools.pairwise(positions)]
    accelerations = [(b - a) / DT for a, b in itertools.pairwise(velocities)]
    assert max(map(abs, velocities)) <= 2000.0 * (1 + 1e-9)
    # The last step onto the goal covers what is left, which may be up to two periods' worth of braking.
    assert max(map(abs, accelerations)) <= 2 * 10_000.0 * (1 + 1e-6)
    assert positions[-1] == -700.0
    assert min(positions) == -700.0


def test_a_delayed_goal_takes_effect_after_its_delay() -> None:
    profile = TrapezoidProfile(DT)
    profile.delay = 20
    profile.aim(10.0)
    for _ in range(20):
        profile.step()
    assert profile.position == 0.0
    assert profile.moving
    profile.step()
    assert profile.position == 10.0


def test_holding_forgets_goals_under_way() -> None:
    profile = TrapezoidProfile(DT)
    profile.delay = 5
    profile.aim(10.0)
    profile.hold(3.0)
    for _ in range(10):
        profile.step()
    assert profile.position == 3.0
