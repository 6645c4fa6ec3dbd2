"""How long an arm takes by itself: the same to the bit, longer with what holds it, and no verdict in it."""

import pytest

from robot_mbrl.benchmarks.stop_proof.campaign import KINDS
from robot_mbrl.benchmarks.stop_proof.kinds import Kind
from robot_mbrl.benchmarks.stop_proof.motion import FULL_SPEED, LEG
from robot_mbrl.benchmarks.stop_proof.settling import WARM_UP, WATCHED, time_to_rest

FORCED = [kind for kind in KINDS if kind.name in {"friction", "push"}]


def test_the_same_arm_at_the_same_moment_takes_the_same_time() -> None:
    assert time_to_rest(3, WARM_UP) == time_to_rest(3, WARM_UP)


def test_goals_in_full_swing_take_their_time_to_brake() -> None:
    """From `FULL_SPEED` no joint rests before the goals do: 92 ms at the acceleration limit, 38 rad/s²."""
    for moment in (WARM_UP, WARM_UP + LEG / 4.0, WARM_UP + LEG / 2.0):
        assert FULL_SPEED / 38.0 < time_to_rest(1, moment) < WATCHED


@pytest.mark.parametrize("kind", FORCED, ids=lambda kind: kind.name)
def test_what_holds_or_throws_the_arm_makes_it_take_longer(kind: Kind) -> None:
    """At the worst of four moments; a push counted from its end."""
    moments = [WARM_UP + quarter * LEG / 2.0 for quarter in range(4)]
    unharmed = max(time_to_rest(0, moment) for moment in moments)
    assert max(time_to_rest(0, moment, kind.surroundings, kind.lasts) for moment in moments) > unharmed + 0.05
