"""The control loop in lockstep: torque, motion and latches."""

import numpy as np
import pytest

from robot_mbrl.contracts.errors import LimitViolation, ServoOverheat
from robot_mbrl.contracts.frame import ControlState, Request, StopCause
from robot_mbrl.contracts.types import StopCategory, VerdictLevel
from tests.runtime.rig import LIFETIME, LIMITS, PARK, RATE, REST_TICKS, TIMEOUT, Rig, break_servo


def test_idle_measures_and_commands_nothing() -> None:
    rig = Rig()
    rig.tick(3)
    frame = rig.frame
    assert frame["tick"][0] == 3
    assert frame["joints"][0] == 2
    assert np.isfinite(frame["position"][0, :2]).all()
    assert np.isnan(frame["position"][0, 2:]).all()
    for field in ("goal_position", "requested_position", "executed_position", "action_position"):
        assert np.isnan(frame[field]).all(), field
    assert frame["write_ns"][0] == -1
    assert rig.arm.goals == []
    assert rig.arm.calls == []


def test_arming_gives_torque_and_moves_nothing() -> None:
    rig = Rig()
    rig.arm.position = np.array([0.4, -0.6])
    rig.tick(3)
    rig.ask(Request.ARM)
    rig.tick(5)
    assert rig.state() is ControlState.ARMED
    assert rig.arm.calls == ["torque on"]
    assert np.array(rig.arm.goals) == pytest.approx(np.tile([0.4, -0.6], (4, 1)), abs=0)


def test_arming_is_refused_where_motion_may_not_start() -> None:
    rig = Rig()
    rig.arm.position = np.array([1.5, 0.0])
    rig.tick()
    rig.ask(Request.ARM)
    rig.tick()
    assert rig.state() is ControlState.IDLE
    assert rig.arm.calls == []
    assert rig.reports == ["arm refused: a: at 1.500 rad, outside -1.000..1.000 rad: move it by hand with torque off"]


def test_arming_is_refused_while_the_monitor_says_stop() -> None:
    rig = Rig()
    rig.judge.level = VerdictLevel.STOP
    rig.ask(Request.ARM)
    rig.tick()
    assert rig.state() is ControlState.IDLE
    assert rig.reports == ["arm refused: the monitor still says stop: script of b: 2, limit 1"]


def test_torque_that_would_move_a_joint_is_refused() -> None:
    rig = Rig()
    rig.arm.fails["set_torque"] = [LimitViolation("a: rests outside its servo's range: move it")]
    rig.ask(Request.ARM)
    rig.tick(2)
    assert rig.state() is ControlState.IDLE
    assert not rig.arm.has_torque
    assert rig.reports == ["torque refused: a: rests outside its servo's range: move it"]


def test_torque_that_went_on_by_half_is_a_fault() -> None:
    rig = Rig()
    rig.arm.fails["set_torque"] = [TIMEOUT]
    rig.ask(Request.ARM)
    rig.tick(2)
    assert rig.state() is ControlState.FAULT
    assert rig.arm.calls == ["torque on", "stop 2"]


def test_running_needs_an_action_that_is_still_good() -> None:
    rig = Rig()
    rig.arrange(ControlState.ARMED)
    rig.ask(Request.RUN)
    rig.tick()
    rig.act((0.1, 0.1))
    rig.tick()
    rig.tick(round(LIFETIME * RATE))
    rig.ask(Request.RUN)
    rig.tick()
    assert rig.state() is ControlState.ARMED
    assert rig.reports == ["run refused: no policy has sent an action that is still good"] * 2


def test_running_reaches_the_action() -> None:
    rig = Rig()
    rig.goal = lambda _: (0.5, -0.7)
    rig.arrange(ControlState.RUNNING)
    rig.tick(400)
    assert rig.arm.position == pytest.approx([0.5, -0.7], abs=1e-6)
    assert rig.frame["action_position"][0, :2] == pytest.approx([0.5, -0.7])
    assert (rig.frame["executed_position"] == rig.frame["requested_position"])[0, :2].all()


def test_slowed_motion_takes_longer_on_the_same_way() -> None:
    def travelled(level: VerdictLevel) -> float:
        rig = Rig()
        rig.goal = lambda _: (0.9, 0.0)
        rig.arrange(ControlState.RUNNING)
        rig.judge.level = level
        rig.tick(60)
        return float(rig.arm.position[0])

    assert 0.0 < travelled(VerdictLevel.SLOW) < 0.7 * travelled(VerdictLevel.PASS)


def test_what_the_monitor_holds_goes_on_without_a_jump_when_the_cause_is_gone() -> None:
    rig = Rig()
    rig.goal = lambda tick: (0.8 * np.sin(0.03 * tick), 0.0)
    rig.arrange(ControlState.RUNNING)
    rig.tick(50)
    rig.judge.level = VerdictLevel.HOLD
    rig.tick(100)
    assert rig.state() is ControlState.HOLDING
    assert (np.diff(np.array(rig.arm.goals)[-20:], axis=0) == 0.0).all()
    rig.judge.level = VerdictLevel.PASS
    rig.tick(100)
    assert rig.state() is ControlState.RUNNING
    steps = np.abs(np.diff(np.array(rig.arm.goals), axis=0))
    assert steps.max() <= LIMITS.velocity[0] / RATE + 1e-12
    assert steps[-20:, 0].max() > 0.0


def test_parking_ends_at_the_park_pose_and_holds() -> None:
    rig = Rig()
    rig.arrange(ControlState.ARMED)
    rig.ask(Request.PARK)
    rig.tick(300)
    assert rig.state() is ControlState.ARMED
    assert rig.arm.position == pytest.approx(PARK)


def test_torque_is_not_released_from_a_motion() -> None:
    rig = Rig()
    rig.goal = lambda tick: (0.8 * np.sin(0.05 * tick), 0.0)
    rig.arrange(ControlState.RUNNING)
    rig.tick(60)
    rig.ask(Request.HOLD)
    rig.ask(Request.RELEASE)
    rig.tick()
    assert rig.arm.has_torque
    assert rig.reports == ["release refused: the arm is still moving: wait until it rests"]
    rig.tick(60)
    rig.ask(Request.RELEASE)
    rig.tick()
    assert rig.state() is ControlState.IDLE
    assert not rig.arm.has_torque


# -- latches ----------------------------------------------------------------------------------------------------------


def test_leaving_a_latch_takes_three_deliberate_acts() -> None:
    rig = Rig()
    rig.arrange(ControlState.STOPPED)
    rig.acting = True
    rig.tick(20)
    path = []
    for kind in (Request.RUN, Request.RESET, Request.RUN, Request.ARM, Request.RUN):
        rig.ask(kind)
        rig.tick(2)
        path.append(rig.state().name)
    assert path == ["STOPPED", "IDLE", "IDLE", "ARMED", "RUNNING"]


def test_a_latch_is_not_left_while_its_cause_is_there() -> None:
    rig = Rig()
    rig.arrange(ControlState.STOPPED)
    rig.judge.level = VerdictLevel.STOP
    rig.tick(5)
    rig.ask(Request.RESET)
    rig.tick()
    assert rig.state() is ControlState.STOPPED
    assert rig.reports[-1].startswith("reset refused: the monitor still says stop")


def test_a_latch_is_not_left_in_mid_braking() -> None:
    rig = Rig()
    rig.goal = lambda tick: (0.8 * np.sin(0.05 * tick), 0.0)
    rig.arrange(ControlState.RUNNING)
    rig.tick(60)
    rig.ask(Request.STOP)
    rig.ask(Request.RESET)
    rig.tick()
    assert rig.state() is ControlState.STOPPED
    assert rig.reports[-1].startswith("reset refused")


def test_a_driver_that_refuses_the_reset_keeps_the_latch() -> None:
    rig = Rig()
    rig.arrange(ControlState.ARMED)
    break_servo(rig)
    rig.tick(REST_TICKS)
    rig.arm.fails["reset"] = [ServoOverheat("joint a: still too hot")]
    rig.ask(Request.RESET)
    rig.tick()
    assert rig.state() is ControlState.FAULT
    assert rig.reports[-1] == "reset refused: joint a: still too hot"
    rig.ask(Request.RESET)
    rig.tick()
    assert rig.state() is ControlState.IDLE


CAUSED = [
    (Request.STOP, StopCause.OPERATOR),
    (Request.EMERGENCY_STOP, StopCause.EMERGENCY),
    (Request.QUIT, StopCause.OPERATOR),
]


@pytest.mark.parametrize(("kind", "cause"), CAUSED)
def test_the_frame_says_who_stopped(kind: Request, cause: StopCause) -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    rig.ask(kind)
    rig.tick(2)
    assert rig.frame["state"][0] == ControlState.STOPPED
    assert rig.frame["stop_cause"][0] == cause


@pytest.mark.parametrize(
    ("category", "at_once", "at_rest"),
    [(StopCategory.TORQUE_OFF, False, False), (StopCategory.RAMP_OFF, True, False), (StopCategory.HOLD, True, True)],
)
def test_a_stop_ends_with_the_torque_of_its_category(category: StopCategory, at_once: bool, at_rest: bool) -> None:
    rig = Rig(category)
    rig.goal = lambda tick: (0.8 * np.sin(0.05 * tick), 0.0)
    rig.arrange(ControlState.RUNNING)
    rig.tick(60)
    rig.ask(Request.STOP)
    rig.tick()
    torque = [rig.arm.has_torque]
    rig.tick(100)
    assert [*torque, rig.arm.has_torque] == [at_once, at_rest]
    assert ("torque off" in rig.arm.calls) == (not at_rest)
