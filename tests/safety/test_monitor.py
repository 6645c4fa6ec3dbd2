"""The monitor as a whole: worst wins, holds end, nothing raises, and the same frames give the same verdicts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record, empty
from robot_mbrl.contracts.geometry import Clearance
from robot_mbrl.contracts.types import FloatArray, VerdictLevel
from robot_mbrl.safety.monitor import HOLD_FORGOTTEN, Monitor
from tests.safety.tape import START_NS, Tape, settings

SCORES = {
    "uncertainty": {
        "required": True,
        "disagreement": {"slow": 1, "hold": 2, "stop": 4, "persistence": 0.05},
        "residual": {"slow": 0.1, "stop": 0.2, "persistence": 0.02},
    }
}


class Shape:
    """A geometry that is cheap and reacts to any angle."""

    def tool_position(self, position: FloatArray) -> FloatArray:
        return np.array([position[0], position[1], 0.0])

    def clearance(self, position: FloatArray) -> Clearance:
        return Clearance(1.0 - float(np.abs(position).max()), "a - b")


def test_every_check_has_a_name_of_its_own() -> None:
    names = Monitor(settings(SCORES), Shape()).check_names
    assert len(set(names)) == len(names) == 36
    assert names[:2] == ("well_formed", "non_finite")


def test_without_geometry_and_model_their_checks_are_not_there() -> None:
    names = Monitor(settings(), None).check_names
    assert not {"tool_box", "link_clearance", "disagreement", "residual"} & set(names)


def test_an_arm_at_rest_passes_in_every_state() -> None:
    for state in ControlState:
        Tape(state).settle(Monitor(settings(), Shape()))


def test_the_worst_judgement_is_the_verdict_and_the_least_scale_holds() -> None:
    tape, monitor = Tape(), Monitor(settings(), None)
    tape.settle(monitor)
    verdict = monitor.judge(tape.frame(temperature=[60, 25]))
    assert (verdict.level, verdict.reason, verdict.joint) == (VerdictLevel.SLOW, "temperature", 0)
    # Half the way from 50 to 70 °C is half the way from 1 down to 0.2.
    assert (verdict.value, verdict.limit) == (60, 50)
    assert verdict.speed_scale == pytest.approx(0.6)
    verdict = monitor.judge(tape.frame(voltage=[10, 4]))
    assert (verdict.level, verdict.reason) == (VerdictLevel.SLOW, "temperature")
    assert verdict.speed_scale == pytest.approx(0.6)
    verdict = monitor.judge(tape.frame(voltage=[10, 3.75]))
    # 25 % below nominal is three quarters of the way from 10 to 30 %.
    assert (verdict.reason, verdict.joint, verdict.value) == ("undervoltage", 1, 3.75)
    assert verdict.speed_scale == pytest.approx(0.4)
    verdict = monitor.judge(tape.frame(hardware_error=[0, 32]))
    assert (verdict.level, verdict.reason, verdict.joint, verdict.value) == (
        VerdictLevel.STOP,
        "hardware_errors",
        1,
        32,
    )
    assert verdict.speed_scale == 0.0
    assert monitor.check_names[verdict.check] == verdict.reason


def test_a_hold_that_does_not_end_becomes_a_stop_with_the_same_reason() -> None:
    tape, monitor = Tape(), Monitor(settings(), None)
    tape.settle(monitor)
    assert (
        tape.judge(monitor, 0.495, requested_position=[1.1, 0], state=ControlState.HOLDING).level == VerdictLevel.HOLD
    )
    verdict = monitor.judge(tape.frame())
    assert (verdict.level, verdict.reason) == (VerdictLevel.STOP, "command_position")
    assert (verdict.value, verdict.limit) == (1.1, 1.0)


def test_a_hold_starts_afresh_half_a_second_after_the_last() -> None:
    tape, monitor = Tape(ControlState.HOLDING), Monitor(settings(), None)
    for _ in range(5):
        assert tape.judge(monitor, 0.4, requested_position=[1.1, 0]).level == VerdictLevel.HOLD
        assert tape.judge(monitor, HOLD_FORGOTTEN + 0.01, requested_position=[1.0, 0]).level == VerdictLevel.PASS


@pytest.mark.parametrize(("held", "free"), [(1, 1), (3, 5), (1, 90)])
def test_an_arm_that_is_held_again_and_again_is_stopped(held: int, free: int) -> None:
    """It counts the ticks that hold, 100 of 5 ms, whatever lies between them: the one after them is a stop."""
    tape, monitor = Tape(ControlState.HOLDING), Monitor(settings(), None)
    tape.settle(monitor)
    holds = 0
    while holds < 200:
        for _ in range(held):
            verdict = monitor.judge(tape.frame(requested_position=[1.1, 0]))
            holds += 1
            assert verdict.level == (VerdictLevel.STOP if holds > 100 else VerdictLevel.HOLD)
            assert verdict.held == (holds > 100)
        for _ in range(free):
            assert monitor.judge(tape.frame(requested_position=[1.0, 0])).level == VerdictLevel.PASS


def synthetic_scores() -> list[tuple[float, float]]:
    """Disagreement and residual of five made-up members while the motion leaves the data: the spread grows."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=5)
    scores = []
    for step in range(100):
        beyond = max(0.0, (step - 40) / 5)
        members = directions * beyond + 0.01 * rng.normal(size=5)
        scores.append((float(np.abs(members - members.mean()).max()), float(abs(members.mean())) * 0.01))
    return scores


def test_the_disagreement_of_an_ensemble_slows_holds_and_stops_as_configured() -> None:
    tape, monitor = Tape(), Monitor(settings(SCORES), None)
    tape.settle(monitor, 0)
    levels = []
    exceeded = 0
    for disagreement, residual in synthetic_scores():
        verdict = monitor.judge(tape.frame(disagreement=disagreement, residual=residual))
        exceeded = exceeded + 1 if disagreement > 4 else 0
        levels.append(verdict.level)
        if verdict.level == VerdictLevel.PASS:
            assert disagreement <= 1
        else:
            assert (verdict.reason, verdict.value) == ("disagreement", disagreement)
            # 50 ms are the ten ticks after the first.
            assert (verdict.level == VerdictLevel.STOP) == (exceeded > 10)
    assert set(levels) == {VerdictLevel.PASS, VerdictLevel.SLOW, VerdictLevel.HOLD, VerdictLevel.STOP}
    assert set(levels[:40]) == {VerdictLevel.PASS}


def test_a_residual_needs_persistence_to_stop() -> None:
    tape, monitor = Tape(), Monitor(settings(SCORES), None)
    assert tape.judge(monitor, 0.1, disagreement=0.5, residual=0.1).level == VerdictLevel.PASS
    assert tape.judge(monitor, 0.015, residual=0.21).level == VerdictLevel.SLOW
    verdict = monitor.judge(tape.frame())
    assert (verdict.level, verdict.reason, verdict.value, verdict.limit) == (VerdictLevel.STOP, "residual", 0.21, 0.2)


@pytest.mark.parametrize("score", ["disagreement", "residual"])
def test_a_score_that_ceases_stops_the_arm(score: str) -> None:
    tape, monitor = Tape(), Monitor(settings(SCORES), None)
    tape.judge(monitor, 0.1, disagreement=0.5, residual=0.05)
    verdict = monitor.judge(tape.frame(once={score: math.nan}))
    assert (verdict.level, verdict.reason) == (VerdictLevel.STOP, "non_finite")


def test_a_required_disagreement_must_be_there_from_the_first_action() -> None:
    tape, monitor = Tape(), Monitor(settings(SCORES), None)
    assert monitor.judge(tape.frame(action_ns=-1)).level == VerdictLevel.PASS
    assert monitor.judge(tape.frame(action_ns=START_NS)).reason == "non_finite"


def test_a_required_residual_must_be_there_in_a_while() -> None:
    scores = {**SCORES["uncertainty"], "first_residual": 0.1}
    tape, monitor = Tape(), Monitor(settings({"uncertainty": scores}), None)
    assert tape.judge(monitor, 0.095, disagreement=0.5).level == VerdictLevel.PASS
    assert monitor.judge(tape.frame()).reason == "non_finite"
    tape, monitor = Tape(), Monitor(settings({"uncertainty": {**scores, "required": False}}), None)
    assert tape.judge(monitor, 0.5, disagreement=0.5).level == VerdictLevel.PASS


@pytest.mark.parametrize("score", ["disagreement", "residual"])
def test_a_score_that_ceases_while_the_policy_is_held_stops_the_arm(score: str) -> None:
    tape, monitor = Tape(), Monitor(settings(SCORES), None)
    tape.judge(monitor, 0.1, disagreement=0.5, residual=0.05)
    assert tape.judge(monitor, 0.1, state=ControlState.HOLDING).level == VerdictLevel.PASS
    assert monitor.judge(tape.frame(once={score: math.nan})).reason == "non_finite"


# -- laws ---------------------------------------------------------------------------------------------------------

FLOATS = st.one_of(st.floats(), st.floats(-3, 3), st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308, 0.0]))
INTEGERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([-1, 0, 1, START_NS]))


@st.composite
def wild_frames(draw: st.DrawFn) -> list[Record]:
    """A tape in which a few fields of a few frames hold anything at all."""
    tape, frames = Tape(draw(st.sampled_from(ControlState))), []
    names = FRAME_DTYPE.names or ()
    for _ in range(draw(st.integers(1, 12))):
        frame = tape.frame()
        for name in draw(st.lists(st.sampled_from(names), max_size=3)):
            kind = frame[name].dtype
            bound = 2 ** (8 * kind.itemsize - 1)
            value = draw(FLOATS) if kind.kind == "f" else (draw(INTEGERS) + bound) % (2 * bound) - bound
            if frame[name].ndim == 2:
                frame[name][0, draw(st.integers(0, 7))] = value
            else:
                frame[name] = value
        frames.append(frame)
    return frames


@hypothesis_settings(deadline=None)
@given(wild_frames())
def test_any_frames_get_the_same_verdicts_twice(frames: list[Record]) -> None:
    monitor = Monitor(settings(SCORES), Shape())
    first = [monitor.judge(frame) for frame in frames]
    monitor.reset()
    # As text, because NaN differs from itself; repr gives every float to the last bit.
    assert [repr(monitor.judge(frame)) for frame in frames] == [repr(verdict) for verdict in first]
    assert all(0.0 <= verdict.speed_scale <= 1.0 for verdict in first)


@hypothesis_settings(deadline=None)
@given(st.lists(st.binary(min_size=FRAME_DTYPE.itemsize, max_size=FRAME_DTYPE.itemsize), min_size=1, max_size=5))
def test_random_bytes_get_a_verdict(payloads: list[bytes]) -> None:
    monitor = Monitor(settings(SCORES), Shape())
    for payload in payloads:
        verdict = monitor.judge(np.frombuffer(payload, FRAME_DTYPE))
        assert verdict.level in tuple(VerdictLevel)


def test_random_bytes_of_this_arm_get_a_verdict() -> None:
    """Bytes that pass as a frame of two joints, so that the checks themselves see them."""
    rng = np.random.default_rng(1)
    monitor = Monitor(settings(SCORES), Shape())
    reasons = set()
    for index in range(3000):
        frame = np.frombuffer(rng.bytes(FRAME_DTYPE.itemsize), FRAME_DTYPE).copy()
        frame["joints"] = 2
        if index % 2:
            for name in FRAME_DTYPE.names or ():
                if frame[name].dtype.kind == "f":
                    frame[name] = rng.normal(size=frame[name].shape) * 10.0 ** rng.integers(-300, 300)
        reasons.add(monitor.judge(frame).reason)
    assert {"non_finite", "hardware_errors"} <= reasons


def test_the_monitor_reads_nothing_that_is_written_after_it_spoke() -> None:
    """Two tapes that differ only in what comes after the verdict: a log must replay to the same verdicts."""
    rng = np.random.default_rng(2)
    monitors = [Monitor(settings(), Shape()) for _ in range(2)]
    tape = Tape()
    for _ in range(50):
        position = rng.uniform(-1.5, 1.5, 2)
        before = tape.frame(position=position, requested_position=position)
        after = before.copy()
        for name in (
            "verdict",
            "reason",
            "reason_joint",
            "value",
            "limit",
            "speed_scale",
            "executed_position",
            "write_ns",
        ):
            after[name] = 7
        assert repr(monitors[0].judge(before)) == repr(monitors[1].judge(after))


REQUIRED = (
    "position",
    "velocity",
    "reported_velocity",
    "load",
    "goal_position",
    "requested_position",
    "action_position",
    "temperature",
    "voltage",
)


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("joint", [0, 1])
def test_what_is_not_a_number_stops_the_arm(name: str, value: float, joint: int) -> None:
    tape, monitor = Tape(), Monitor(settings(), Shape())
    tape.settle(monitor)
    frame = tape.frame()
    frame[name][0, joint] = value
    verdict = monitor.judge(frame)
    assert (verdict.level, verdict.reason, verdict.joint) == (VerdictLevel.STOP, "non_finite", joint)
    assert repr(verdict.value) == repr(value)


@pytest.mark.parametrize("name", ["disagreement", "residual", "current"])
def test_infinity_is_no_way_to_say_that_there_is_nothing(name: str) -> None:
    tape, monitor = Tape(), Monitor(settings(), None)
    tape.settle(monitor)
    assert monitor.judge(tape.frame(once={name: math.inf})).reason == "non_finite"
    assert monitor.judge(tape.frame(once={name: math.nan})).level == VerdictLevel.PASS


def test_an_idle_arm_needs_no_goals_but_no_half_goals_either() -> None:
    tape, monitor = Tape(ControlState.IDLE), Monitor(settings(), Shape())
    nothing = [math.nan, math.nan]
    tape.judge(monitor, 0.05, goal_position=nothing, requested_position=nothing, action_ns=-1, action_position=nothing)
    tape.settle(monitor)
    assert monitor.judge(tape.frame(once={"goal_position": [0, math.nan]})).reason == "non_finite"
    assert monitor.judge(tape.frame(once={"goal_position": [math.inf, math.inf]})).reason == "non_finite"
    assert monitor.judge(tape.frame(state=ControlState.RUNNING)).reason == "non_finite"


@pytest.mark.parametrize("action", [[math.nan, 0.0], [9.0, 9.0]])
def test_a_mad_policy_does_not_keep_the_arm_from_parking(action: list[float]) -> None:
    tape, monitor = Tape(ControlState.PARKING), Monitor(settings(), Shape())
    tape.judge(monitor, 0.1, action_position=action, action_expires_ns=0)
    tape.settle(monitor)
    assert monitor.judge(tape.frame(state=ControlState.HOLDING)).level >= VerdictLevel.HOLD


def test_a_servo_that_was_never_read_may_have_no_temperature() -> None:
    tape, monitor = Tape(), Monitor(settings(), None)
    tape.judge(monitor, 0.0, temperature=[25, math.nan], voltage=[10, math.nan], health_ns=[START_NS, -1])
    tape.settle(monitor)
    assert monitor.judge(tape.frame(health_ns=[START_NS, START_NS])).reason == "non_finite"


def test_another_arms_frame_stops() -> None:
    tape, monitor = Tape(), Monitor(settings(), None)
    for joints in (0, 1, 3, -2, 2**31 - 1):
        verdict = monitor.judge(tape.frame(once={"joints": joints}))
        assert (verdict.level, verdict.reason, verdict.limit) == (VerdictLevel.STOP, "well_formed", 2)


def test_an_empty_frame_stops() -> None:
    assert Monitor(settings(), Shape()).judge(empty(FRAME_DTYPE)).level == VerdictLevel.STOP
