"""The stop proof's measures on made-up runs whose figures are known."""

import numpy as np
import pytest

from robot_mbrl.benchmarks.stop_proof.measures import REST_SPEED, Measures, measure
from robot_mbrl.benchmarks.stop_proof.observation import Observation
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState
from robot_mbrl.contracts.types import FloatArray, VerdictLevel

MS = 1_000_000
FAULT_NS = 100 * MS
PERIOD_MS = 5
PLAY = np.array([0.01, 0.01])


def observed(
    velocity: FloatArray,
    latch_ms: int | None = 120,
    verdict_ms: int | None = 115,
    torque_lost_ms: int | None = None,
) -> Observation:
    """Two joints, looked at every 5 ms from 0 on; the first has `velocity` (k,) [rad/s], the second half of it."""
    k = len(velocity)
    times = np.arange(k) * PERIOD_MS * MS
    both = np.stack((velocity, velocity / 2.0), axis=1)
    position = np.vstack((np.zeros(2), np.cumsum(both[:-1] * PERIOD_MS / 1000.0, axis=0)))
    torque = np.ones((k, 2), bool)
    if torque_lost_ms is not None:
        torque[times >= torque_lost_ms * MS, 1] = False
    frames = np.zeros(k, FRAME_DTYPE)
    frames["wake_ns"] = times
    frames["state"] = ControlState.RUNNING
    if verdict_ms is not None:
        frames["verdict"][times >= verdict_ms * MS] = VerdictLevel.STOP
    if latch_ms is not None:
        frames["state"][times >= latch_ms * MS] = ControlState.STOPPED
    return Observation(times, position, both, torque, frames)


def braking(rest_ms: int, end_ms: int = 600) -> FloatArray:
    """1 rad/s until 20 ms before `rest_ms`, then down to 0 by then."""
    times = np.arange(0, end_ms, PERIOD_MS)
    return np.clip((rest_ms - times) / 20.0, 0.0, 1.0)


def test_a_stop_is_measured_from_its_visible_effect() -> None:
    """Made at 100 ms, shown at 110 ms, judged at 115 ms; at 1 rad/s until 180 ms, under 0.05 rad/s at 200 ms."""
    found = measure(observed(braking(200)), PLAY, FAULT_NS, 110 * MS)
    assert found.hidden == pytest.approx(0.010)
    assert found.to_verdict == pytest.approx(0.005)
    assert found.to_rest == pytest.approx(0.090)
    # 70 ms at 1 rad/s and four looks at 1, 3/4, 1/2 and 1/4 rad/s, for 5 ms each.
    assert found.distance == pytest.approx(0.070 + 0.005 * (1.0 + 0.75 + 0.5 + 0.25))
    assert found.speed == 1.0
    assert found.latched
    assert found.torque_kept
    assert not found.moved_after_latch
    assert found.drift == 0.0
    assert found.last == 0
    assert found.late_way == 0.0
    assert found.late_play == PLAY[0]


def test_what_the_last_joint_did_too_late_is_measured() -> None:
    """Rest is to come at 400 ms; the first joint goes on at 1 rad/s for 60 ms from 405 ms on, and then brakes."""
    found = measure(observed(braking(480)), PLAY, FAULT_NS, FAULT_NS)
    assert found.to_rest == pytest.approx(0.380)
    assert found.last == 0
    # From the look at 405 ms on: 11 at 1 rad/s, and four at 1, 3/4, 1/2 and 1/4 rad/s, for 5 ms each.
    assert found.late_way == pytest.approx(0.005 * (11 + 1.0 + 0.75 + 0.5 + 0.25))


def test_an_arm_that_stood_still_rests_at_once() -> None:
    found = measure(observed(np.zeros(120)), PLAY, FAULT_NS, FAULT_NS)
    assert found.to_rest == 0.0
    assert found.distance == 0.0


def test_an_arm_that_still_moves_at_the_end_never_rested() -> None:
    assert measure(observed(np.ones(120)), PLAY, FAULT_NS, FAULT_NS).to_rest is None


def test_a_twitch_after_latch_and_rest_is_found_and_delays_rest() -> None:
    velocity = braking(200)
    velocity[80] = 4.0
    found = measure(observed(velocity), PLAY, FAULT_NS, FAULT_NS)
    assert found.moved_after_latch
    assert found.to_rest == found.to_stillness == pytest.approx((81 * PERIOD_MS - 100) / 1000.0)
    assert found.drift == pytest.approx(0.020)


def test_an_arm_that_stood_only_while_it_was_forced_had_not_come_to_rest() -> None:
    """It stands from 200 to 300 ms while held fast and springs back until 380 ms, the last 35 ms in its gear's play."""
    velocity = braking(200)
    velocity[60:76] = 0.3
    assert measure(observed(velocity), PLAY, FAULT_NS, FAULT_NS).moved_after_latch
    held = measure(observed(velocity), PLAY, FAULT_NS, FAULT_NS, over_ns=300 * MS)
    assert not held.moved_after_latch
    assert held.to_rest == pytest.approx(0.245)


def test_a_force_s_end_is_where_rest_begins_to_count() -> None:
    """It stands from 200 ms on, held off until 300 ms; from 330 to 380 ms it comes back."""
    velocity = braking(200)
    velocity[66:76] = -1.0
    held = measure(observed(velocity), PLAY, FAULT_NS, 110 * MS, over_ns=300 * MS)
    assert held.forced == pytest.approx(0.190)
    assert not held.moved_after_latch
    # Its last 10 mrad are within the play of its gear, and it had rested already.
    assert held.to_rest == pytest.approx(0.260)
    unforced = measure(observed(velocity), PLAY, FAULT_NS, 110 * MS)
    assert unforced.forced == 0.0
    assert unforced.moved_after_latch


def test_what_moves_again_after_a_force_has_gone_and_the_arm_has_come_to_rest_moved_after_the_latch() -> None:
    velocity = braking(200)
    velocity[66:76] = -1.0
    velocity[100] = 4.0
    found = measure(observed(velocity), PLAY, FAULT_NS, FAULT_NS, over_ns=300 * MS)
    assert found.moved_after_latch
    assert found.to_rest == pytest.approx((101 * PERIOD_MS - 100) / 1000.0)


def test_what_the_last_joint_did_too_late_after_a_force_is_measured_from_its_end() -> None:
    """Held off until 150 ms, rest is to come at 450 ms; at 1 rad/s from the look at 455 ms to that at 460 ms."""
    found = measure(observed(braking(480)), PLAY, FAULT_NS, FAULT_NS, over_ns=150 * MS)
    assert found.late_way == pytest.approx(0.005 * (1 + 1.0 + 0.75 + 0.5 + 0.25))


def test_what_coasts_in_its_gear_s_play_is_at_rest_but_not_still() -> None:
    """From 200 ms on it goes 9 mrad to and fro, at 1.8 rad/s, in a play of 10 mrad."""
    velocity = braking(200)
    velocity[41:60:4] = 1.8
    velocity[43:60:4] = -1.8
    found = measure(observed(velocity), PLAY, FAULT_NS, FAULT_NS)
    assert found.to_rest == pytest.approx(0.1)
    assert found.to_stillness == pytest.approx((60 * PERIOD_MS - 100) / 1000.0)
    assert not found.moved_after_latch


def test_play_is_no_excuse_for_leaving_it() -> None:
    """9 mrad to and fro twice, then 9 mrad on, at 240 ms, and 9 mrad more, after which it stays."""
    velocity = braking(200)
    velocity[[40, 42, 44, 46, 48, 50]] = 1.8, -1.8, 1.8, -1.8, 1.8, 1.8
    assert measure(observed(velocity), PLAY, FAULT_NS, FAULT_NS).to_rest == pytest.approx(49 * PERIOD_MS / 1e3 - 0.1)


def test_slow_creep_is_drift_but_no_motion() -> None:
    velocity = braking(200)
    velocity[50:] = 0.9 * REST_SPEED
    found = measure(observed(velocity), PLAY, FAULT_NS, FAULT_NS)
    assert not found.moved_after_latch
    assert found.to_rest == pytest.approx(0.1)
    assert found.drift == pytest.approx(0.9 * REST_SPEED * PERIOD_MS / 1000.0 * (119 - 50))


def test_a_run_that_is_judged_but_not_latched_says_so() -> None:
    found = measure(observed(braking(200), latch_ms=None), PLAY, FAULT_NS, FAULT_NS)
    assert found.to_verdict == pytest.approx(0.015)
    assert not found.latched


def test_a_run_that_nobody_stops_has_no_verdict() -> None:
    found = measure(observed(np.ones(120), latch_ms=None, verdict_ms=None), PLAY, FAULT_NS, FAULT_NS)
    assert found.to_verdict is None
    assert not found.latched


def test_what_was_latched_before_the_fault_does_not_count_as_its_verdict() -> None:
    seen = observed(np.zeros(120), latch_ms=None, verdict_ms=None)
    seen.frames["verdict"][:10] = VerdictLevel.STOP
    assert measure(seen, PLAY, FAULT_NS, FAULT_NS).to_verdict is None


def test_a_control_process_that_the_guardian_replaced_counts_as_latched() -> None:
    seen = observed(braking(200), latch_ms=None, verdict_ms=None)
    found = measure(seen, PLAY, FAULT_NS, FAULT_NS, taken_over_ns=190 * MS)
    assert found.latched
    assert found.to_verdict == pytest.approx(0.09)


def test_a_latch_that_was_left_again_is_no_latch() -> None:
    seen = observed(braking(200))
    seen.frames["state"][-1] = ControlState.RUNNING
    assert not measure(seen, PLAY, FAULT_NS, FAULT_NS).latched


def test_lost_torque_is_found() -> None:
    found: Measures = measure(observed(braking(200), torque_lost_ms=300), PLAY, FAULT_NS, FAULT_NS)
    assert not found.torque_kept
