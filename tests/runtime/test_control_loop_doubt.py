"""The control loop in lockstep with the real monitor and a scripted doubt: what a hold that doubt asks for comes to."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.safety.monitor import Monitor
from tests.runtime.rig import RATE, Rig
from tests.safety.tape import SETTINGS, settings

HOLD_LIMIT = SETTINGS["hold_limit"]
NAN = float("nan")


class Doubt:
    """Says what `about` says of what is to come: of the wish of a policy that is held, of the requests otherwise."""

    def __init__(self, about: Callable[[FloatArray], tuple[float, float]]) -> None:
        self.about = about
        self.wishes: list[FloatArray | None] = []

    def update(self, *measured_and_asked: Any) -> tuple[float, float]:
        """The next one."""
        *_, requested, wish = measured_and_asked
        self.wishes.append(None if wish is None else wish.copy())
        return self.about(requested if wish is None else wish)


def rig(about: Callable[[FloatArray], tuple[float, float]], **uncertainty: Any) -> tuple[Rig, Doubt]:
    """A running arm that nothing but doubt speaks against."""
    joints = [{**joint, "supply_voltage": 5.0} for joint in SETTINGS["joints"]]
    doubt = Doubt(lambda _: (0.1, 0.1))
    made = Rig(monitor=Monitor(settings({"joints": joints, "uncertainty": uncertainty}), None), doubts=doubt)
    made.arrange(ControlState.RUNNING)
    made.tick(5)
    doubt.about = about
    return made, doubt


def ramp(made: Rig, end: float) -> Callable[[int], tuple[float, float]]:
    """A policy that moves on at 2 rad/s from its last action to `end` [rad], from now on."""
    start, begun = float(made.frame["action_position"][0, 0]), made.loop.ticks

    def goal(tick: int) -> tuple[float, float]:
        gone = min(2.0 / RATE * (tick - begun), abs(end - start))
        return start + math.copysign(gone, end - start), 0.0

    return goal


def states(made: Rig, seconds: float) -> list[ControlState]:
    """The state after each tick of some time [s]."""
    found = []
    for _ in range(round(seconds * RATE)):
        made.tick()
        found.append(made.state())
    return found


@pytest.mark.parametrize("persistence", [0.0, 0.1])
@pytest.mark.parametrize("name", ["disagreement", "residual"])
def test_a_doubt_that_stays_holds_without_a_break_and_then_stops(name: str, persistence: float) -> None:
    stuck = (5.0, 0.1) if name == "disagreement" else (0.1, 5.0)
    made, _ = rig(lambda _: stuck, **{name: {"hold": 1.0, "persistence": persistence}})
    found = states(made, 2.0)
    begun = found.index(ControlState.HOLDING)
    stopped = found.index(ControlState.STOPPED)
    assert begun == pytest.approx(persistence * RATE, abs=2)
    assert set(found[begun:stopped]) == {ControlState.HOLDING}
    assert stopped - begun == pytest.approx(HOLD_LIMIT * RATE, abs=2)
    assert f"stopped: on hold for too long by {name}: 5, limit 1" in made.reports


def test_a_held_doubt_that_grows_beyond_the_stop_grade_stops() -> None:
    made, doubt = rig(lambda _: (2.0, 0.1), disagreement={"hold": 1.0, "stop": 4.0, "persistence": 0.05})
    assert states(made, 0.1)[-1] is ControlState.HOLDING
    doubt.about = lambda _: (5.0, 0.1)
    assert states(made, 0.1)[-1] is ControlState.STOPPED


def test_the_arm_goes_on_when_the_policy_no_longer_wishes_what_is_doubted() -> None:
    made, doubt = rig(
        # Beyond 0.1 rad nothing is known but the way back.
        lambda ahead: (5.0 if ahead[0] > 0.1 and ahead[0] > made.arm.position[0] else 0.0, 0.1),
        disagreement={"hold": 1.0},
    )
    made.goal = ramp(made, 0.3)
    found = states(made, 0.75)
    begun = found.index(ControlState.HOLDING)
    assert set(found[begun:]) == {ControlState.HOLDING}
    np.testing.assert_array_equal(np.array(doubt.wishes[-1]), [0.3, 0.0])
    made.goal = ramp(made, -0.3)
    found = states(made, 1.5)
    goes_on = found.index(ControlState.RUNNING)
    # The wish comes back from 0.3 to 0.1 rad in 100 ms.
    assert goes_on == pytest.approx(0.1 * RATE, abs=2)
    assert set(found[goes_on:]) == {ControlState.RUNNING}
    assert doubt.wishes[-1] is None
    assert made.arm.position[0] == pytest.approx(-0.3, abs=1e-3)


def test_a_doubt_that_ceases_to_be_known_on_hold_stops() -> None:
    made, doubt = rig(lambda _: (2.0, 0.1), disagreement={"hold": 1.0})
    assert states(made, 0.1)[-1] is ControlState.HOLDING
    doubt.about = lambda _: (NAN, 0.1)
    made.tick()
    assert made.state() is ControlState.STOPPED
    assert made.reports[-1].startswith("stopped: non_finite")


def test_an_arm_on_hold_that_is_not_where_it_is_told_to_be_stops() -> None:
    made, _ = rig(lambda _: (2.0, 0.1), disagreement={"hold": 1.0})
    assert states(made, 0.1)[-1] is ControlState.HOLDING
    obeyed, drift = made.arm.read, iter(range(1000))

    def read() -> Any:
        state = obeyed()
        state.position[0] += next(drift) * 1.0 / RATE
        return state

    made.arm.read = read  # type: ignore[method-assign]
    found = states(made, 0.4)
    assert found[-1] is ControlState.STOPPED
    assert made.reports[-1].startswith("stopped: tracking_error of a")


def test_while_a_person_holds_the_arm_the_model_is_not_asked() -> None:
    made, doubt = rig(lambda _: (0.1, 0.1), disagreement={"hold": 1.0})
    made.ask(Request.HOLD)
    made.tick(2)
    asked = len(doubt.wishes)
    made.tick(10)
    assert made.state() is ControlState.ARMED
    assert len(doubt.wishes) == asked
