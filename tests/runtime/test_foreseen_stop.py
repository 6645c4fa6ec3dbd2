"""Where the monitor foresees that a stop would end, and where the goals do end when it comes a tick later."""

import copy

import numpy as np
import pytest

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, empty
from robot_mbrl.contracts.geometry import Clearance
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.monitor_setup import monitor_settings
from robot_mbrl.runtime.motion import CATCH_UP, Motion, MotionLimits
from robot_mbrl.safety.frame_view import FrameView, Pose
from robot_mbrl.safety.state_machine import Drive

ARM = load_arm("so101_follower")
LIMITS = MotionLimits.of(ARM)
PERIOD = 0.005
START = np.array([0.0, -0.6, 0.5, 0.9, 0.0, 0.2])


class Last:
    """Keeps the pose that it was asked about, all of it: it has no tool."""

    def tool_position(self, position: FloatArray) -> FloatArray:
        self.asked = position.copy()
        return position[:3]

    def clearance(self, position: FloatArray) -> Clearance:
        raise NotImplementedError(f"clearance at {position}")


def motion_at_rest() -> Motion:
    motion = Motion(LIMITS, np.zeros(6), period=PERIOD, action_period=0.04, approach_speed=4.0)
    motion.seed(START)
    return motion


def foreseen_and_real(targets: FloatArray, ticks: int) -> tuple[FloatArray, FloatArray]:
    """Follow `targets` (k, 6), a new one every 40 ms, for `ticks`; then what is foreseen, and where a stop ends."""
    overrides = {"workspace": {"following_overshoot": 0.0, "rest_error": 0.0}}
    motion, view, geometry = motion_at_rest(), FrameView(monitor_settings(ARM, overrides)), Last()
    for tick in range(ticks):
        now_ns = 10**12 + to_ns(tick * PERIOD)
        if tick % 8 == 0:
            motion.accept(targets[min(tick // 8, len(targets) - 1)], now_ns + to_ns(0.2))
        frame = empty(FRAME_DTYPE)
        frame["joints"], frame["state"] = 6, ControlState.RUNNING
        frame["deadline_ns"] = frame["wake_ns"] = frame["stamp_ns"] = now_ns
        frame["position"][0, :6] = frame["goal_position"][0, :6] = motion.executed
        frame["requested_position"][0, :6] = motion.propose(Drive.FOLLOW, now_ns)
        view.read(frame)
        view.derive()
        view.tool(geometry, Pose.STOP)
        motion.execute(Drive.FOLLOW)
    return geometry.asked, stopped_from(motion, now_ns)


@pytest.mark.parametrize("ticks", range(2, 36, 3))
def test_a_stop_that_begins_while_the_arm_gains_speed_is_foreseen(ticks: int) -> None:
    """On a straight path, where all joints may share the profile of the fastest one or go their own ways."""
    way = np.array([0.8, 0.4, -0.4, -0.6, 0.2, 0.3])
    targets = START + np.minimum(np.arange(1, 60) * 0.04 * 3.0, 1.0)[:, np.newaxis] * way
    foreseen, real = foreseen_and_real(targets, ticks)
    assert np.abs(real - START).max() > (0.001 if ticks > 10 else -1.0)
    assert ((real - foreseen) * np.sign(way)).max() < 1e-6


@pytest.mark.parametrize("ticks", range(30, 400, 17))
def test_a_stop_is_foreseen_up_to_what_the_limiter_may_do_in_the_tick_between(ticks: int) -> None:
    """Each joint swings with its own period. A tick's change of the acceleration is worth at most four ticks' way."""
    times = 0.04 * np.arange(1, 60)[:, np.newaxis]
    periods = np.array([0.8, 0.9, 1.0, 1.1, 1.2, 1.3])
    targets = START + 0.2 * (1.0 - np.cos(2.0 * np.pi * times / periods))
    foreseen, real = foreseen_and_real(targets, ticks)
    speed = 0.2 * 2.0 * np.pi / periods + LIMITS.acceleration**2 / (2.0 * LIMITS.jerk)
    assert (np.abs(foreseen - real) < 4.0 * PERIOD * speed).all()


FAULT_TICK = 60


@pytest.mark.parametrize("speed", [0.4, 1.25, 3.5])
@pytest.mark.parametrize("fault", ["missed tick", "three missed ticks", "lost packet"])
def test_a_late_tick_or_one_without_a_reading_foresees_no_other_stop(speed: float, fault: str) -> None:
    """Late goals are a period's way apart like all others, and one that was not sent is made up for by none."""
    overrides = {"workspace": {"following_overshoot": 0.0, "rest_error": 0.0}}
    motion, view, geometry = motion_at_rest(), FrameView(monitor_settings(ARM, overrides)), Last()
    allowed = 4.0 * PERIOD * (CATCH_UP * speed + LIMITS.acceleration[0] ** 2 / (2.0 * LIMITS.jerk[0]))
    missed = {"missed tick": 1, "three missed ticks": 3, "lost packet": 0}[fault]
    now_ns, stamp_ns = 10**12, 0
    for tick in range(FAULT_TICK + 6):
        at_fault = tick == FAULT_TICK
        periods = 1 + missed * at_fault
        now_ns += to_ns(periods * PERIOD)
        blind = fault == "lost packet" and at_fault
        stamp_ns = stamp_ns if blind else now_ns
        if tick % 8 == 0:
            goal = START + np.array([min(speed * PERIOD * (tick + 8), 1.8), 0, 0, 0, 0, 0])
            motion.accept(goal, now_ns + to_ns(0.2))
        frame = empty(FRAME_DTYPE)
        frame["joints"], frame["state"] = 6, ControlState.RUNNING
        frame["deadline_ns"] = frame["wake_ns"] = now_ns
        frame["stamp_ns"] = stamp_ns
        frame["position"][0, :6] = frame["goal_position"][0, :6] = motion.executed
        frame["requested_position"][0, :6] = motion.executed if blind else motion.propose(Drive.FOLLOW, now_ns, periods)
        view.read(frame)
        view.derive()
        view.tool(geometry, Pose.STOP)
        if not blind:
            motion.execute(Drive.FOLLOW, 1.0, periods)
        if tick >= FAULT_TICK - 1:
            stopped = stopped_from(motion, now_ns)
            assert geometry.asked[0] > stopped[0] - allowed
            if not at_fault or blind:
                # At a late tick the goals were slower by time; the next one is as fast as before again.
                assert geometry.asked[0] < stopped[0] + allowed


def stopped_from(motion: Motion, now_ns: int) -> FloatArray:
    """(6,) where a stop ends that begins with the next tick, on time [rad]."""
    stopping = copy.deepcopy(motion)
    for _ in range(200):
        stopping.propose(Drive.HOLD, now_ns)
        stopping.execute(Drive.HOLD)
    assert stopping.at_rest
    return stopping.executed
