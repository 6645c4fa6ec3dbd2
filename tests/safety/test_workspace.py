"""Box, floor, keep-outs and clearances for an arm whose tool is at (joint 0, joint 1, 0)."""

from collections.abc import Sequence

import numpy as np
import pytest

from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.geometry import Clearance
from robot_mbrl.contracts.monitor_settings import Box, MonitorSettings
from robot_mbrl.contracts.types import FloatArray, VerdictLevel
from robot_mbrl.safety import workspace
from robot_mbrl.safety.judgement import PASS, Judgement
from tests.safety.tape import PERIOD_NS, START_NS, Tape, commanded, judge_all, settings

STOP, HOLD, SLOW = VerdictLevel.STOP, VerdictLevel.HOLD, VerdictLevel.SLOW


class Sliding:
    """The tool slides along x with joint 0 and along z with joint 1; a wall stands at x = 0.9."""

    def tool_position(self, position: FloatArray) -> FloatArray:
        return np.array([position[0], 0.0, position[1]])

    def clearance(self, position: FloatArray) -> Clearance:
        return Clearance(0.9 - float(position[0]), "tool - wall")


def changed(**workspace_keys: object) -> MonitorSettings:
    return settings({"workspace": workspace_keys})


def at(measured: Sequence[float], requested: Sequence[float]) -> Tape:
    tape = Tape()
    tape.frame(position=measured, goal_position=measured, requested_position=requested)
    return tape


BOX = {"box": {"low": [-0.5, -1, -1], "high": [0.5, 1, 1]}}


@pytest.mark.parametrize(
    ("measured", "requested", "expected"),
    [
        (0.0, 0.499, PASS),
        (0.49, 0.51, Judgement(HOLD, 0.0, 0.01, 0.0)),
        (-0.49, -0.52, Judgement(HOLD, 0.0, 0.02, 0.0)),
        # Outside by more than the stop depth of 0.05 m, whatever is requested, but for the way back.
        (0.56, 0.56, Judgement(STOP, 0.0, 0.06, 0.05)),
        (0.56, 0.50, Judgement(SLOW, 0.2, 0.06, 0.0)),
        (0.53, 0.53, Judgement(HOLD, 0.0, 0.03, 0.0)),
    ],
)
def test_the_tool_stays_in_its_box(measured: float, requested: float, expected: Judgement) -> None:
    check = workspace.ToolBox(changed(**BOX), Sliding())
    judgement = judge_all(check, [at([measured, 0], [requested, 0]).frame()])[0]
    assert judgement == pytest.approx(expected)


@pytest.mark.parametrize(
    ("measured", "requested", "expected"),
    [
        (-0.2, -0.299, PASS),
        (-0.29, -0.31, Judgement(HOLD, 0.0, 0.01, 0.0)),
        (-0.36, -0.36, Judgement(STOP, 0.0, 0.06, 0.05)),
    ],
)
def test_the_tool_stays_above_the_floor(measured: float, requested: float, expected: Judgement) -> None:
    check = workspace.ToolFloor(changed(floor=-0.3), Sliding())
    judgement = judge_all(check, [at([0, measured], [0, requested]).frame()])[0]
    assert judgement == pytest.approx(expected)


@pytest.mark.parametrize(
    ("requested", "expected"),
    [(0.39, PASS), (0.41, Judgement(HOLD, 0.0, 0.01, 0.0)), (0.61, PASS)],
)
def test_the_tool_stays_out_of_keep_outs(requested: float, expected: Judgement) -> None:
    boxes = [
        Box(name="post", low=(0.4, -0.1, -0.2), high=(0.6, 0.1, 0.2)).model_dump(),
        Box(name="far", low=(5, 5, 5), high=(6, 6, 6)).model_dump(),
    ]
    check = workspace.ToolKeepOuts(changed(keep_outs=boxes), Sliding())
    judgement = judge_all(check, [at([0.3, 0], [requested, 0]).frame()])[0]
    assert judgement == pytest.approx(expected)
    assert judge_all(workspace.ToolKeepOuts(settings(), Sliding()), [Tape().frame()]) == [PASS]


@pytest.mark.parametrize(
    ("measured", "requested", "expected"),
    [
        (0.8, 0.879, PASS),
        # Half the way from slow at 20 mm to hold at 10 mm is half the way from 1 to 0.2.
        (0.8, 0.885, Judgement(SLOW, 0.6, 0.015, 0.02)),
        (0.8, 0.891, Judgement(HOLD, 0.0, 0.009, 0.01)),
        (0.896, 0.896, Judgement(STOP, 0.0, 0.004, 0.005)),
        (0.896, 0.890, Judgement(SLOW, 0.2, 0.010, 0.02)),
    ],
)
def test_links_keep_their_distance(measured: float, requested: float, expected: Judgement) -> None:
    check = workspace.LinkClearance(settings(), Sliding())
    judgement = judge_all(check, [at([measured, 0], [requested, 0]).frame()])[0]
    assert judgement == pytest.approx(expected)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        # Goals rest 30 mm from the wall; the arm hangs towards it.
        (0.893, Judgement(HOLD, 0.0, 0.007, 0.008)),
        (0.8875, Judgement(SLOW, 0.2 + 0.8 * 0.45, 0.0125, 0.018)),
        (0.87, PASS),
    ],
)
def test_an_arm_that_hangs_off_its_goals_keeps_its_distance_too(measured: float, expected: Judgement) -> None:
    check = workspace.LinkClearance(settings(), Sliding())
    frame = Tape().frame(position=[measured, 0], goal_position=[0.87, 0], requested_position=[0.87, 0])
    assert judge_all(check, [frame])[0] == pytest.approx(expected)


@pytest.mark.parametrize(("behind", "level"), [(0.05, VerdictLevel.PASS), (0.02, HOLD)])
def test_what_an_arm_is_behind_by_its_lag_does_not_hang(behind: float, level: VerdictLevel) -> None:
    """At 1 rad/s the lag of 50 ms is 50 mm, and braking takes 17.5 mm: goals at 0.85 end 32.5 mm from the wall."""
    tape, frames = Tape(), []
    for goal in np.arange(0.5, 0.8501, 0.005):
        held = goal - 0.005
        frames.append(tape.frame(position=[held - behind, 0], goal_position=[held, 0], requested_position=[goal, 0]))
    assert judge_all(workspace.LinkClearance(settings(), Sliding()), frames)[-1].level == level


def test_an_arm_that_hangs_far_below_its_goals_counts_where_it_is() -> None:
    """Goals 0.1 m from the wall are no reason to look away from an arm that presses on it."""
    tape = Tape()
    frames = [tape.frame(position=[0.897, 0.01], goal_position=[0.8, 0], requested_position=[0.8, 0]) for _ in range(3)]
    check = workspace.LinkClearance(settings(), Sliding())
    assert judge_all(check, frames)[-1] == pytest.approx(Judgement(STOP, 0.0, 0.003, 0.005))


def test_what_the_arm_hangs_below_its_goals_is_remembered_while_it_gains_speed() -> None:
    """It rests 0.03 rad past its goals. While they take 20 rad/s² its lag tells nothing of that, and it ends there."""
    tape, check = Tape(), workspace.LinkClearance(settings(), Sliding())
    resting = [tape.frame(position=[0.53, 0], goal_position=[0.5, 0], requested_position=[0.5, 0]) for _ in range(30)]
    speeds = np.cumsum(np.full(40, 20.0 * 0.005))
    goals = 0.5 + np.cumsum(speeds) * 0.005
    moving = [
        tape.frame(position=[0.53, 0], goal_position=[before, 0], requested_position=[goal, 0])
        for before, goal in zip([0.5, *goals[:-1]], goals, strict=True)
    ]
    judgements = judge_all(check, [*resting, *moving])
    held = next(index for index, judgement in enumerate(judgements) if judgement.level == HOLD) - len(resting)
    # Braking from v at 40 rad/s² with the acceleration let go of first takes less than v²/80 + 0.02 v + 0.5 ms v.
    ends = goals[held] + speeds[held] ** 2 / 80.0 + 0.025 * speeds[held]
    assert ends + 0.03 > 0.9 - 0.008 > goals[held - 1] + speeds[held - 1] ** 2 / 80.0 + 0.03


def test_the_way_that_braking_takes_counts() -> None:
    """From 4 rad/s at 40 rad/s² and 4000 rad/s³ a stop takes 0.2 + 0.02 rad: from 0.3 it would end beyond the box."""
    step = 4.0 * 0.005
    check = workspace.ToolBox(changed(**BOX), Sliding())
    assert judge_all(check, commanded([[step * k, 0.0] for k in range(14)]))[-1] is PASS
    judgement = judge_all(check, commanded([[step * k, 0.0] for k in range(16)]))[-1]
    assert judgement == pytest.approx(Judgement(HOLD, 0.0, 0.02, 0.0))


def test_a_sign_of_life_between_two_ticks_makes_no_stop_longer() -> None:
    """After a release and before torque is switched, a frame is sent at once. The same stops as above."""
    check, step = workspace.ToolBox(changed(**BOX), Sliding()), 4.0 * 0.005
    for steps, expected in ((14, PASS), (16, pytest.approx(Judgement(HOLD, 0.0, 0.02, 0.0)))):
        tape = Tape(ControlState.ARMED)
        frames = [tape.frame() for _ in range(3)]
        early = {"deadline_ns": int(frames[-1]["deadline_ns"][0]) + 1_000_000, "state": ControlState.IDLE}
        frames += [tape.frame(once=early), tape.frame(state=ControlState.RUNNING)]
        path = [step * k for k in range(steps)]
        for before, now in zip((0.0, *path), path, strict=False):
            frames.append(tape.frame(goal_position=[before, 0], requested_position=[now, 0], position=[before, 0]))
        assert judge_all(check, frames)[-1] == expected


def test_without_a_request_the_measured_pose_counts() -> None:
    nothing = [float("nan")] * 2
    frame = Tape().frame(state=0, position=[0.51, 0], goal_position=nothing, requested_position=nothing)
    assert judge_all(workspace.ToolBox(changed(**BOX), Sliding()), [frame])[0].level == HOLD


def test_while_the_arm_holds_the_policys_will_counts() -> None:
    """It holds where all is well, and would go on into the wall: the hold lasts until the policy relents."""
    tape = Tape(ControlState.HOLDING)
    check = workspace.LinkClearance(settings(), Sliding())
    insisting = tape.frame(action_position=[0.895, 0])
    relenting = tape.frame(action_position=[0.5, 0])
    assert judge_all(check, [insisting])[0] == pytest.approx(Judgement(HOLD, 0.0, 0.005, 0.01))
    assert judge_all(check, [relenting]) == [PASS]
    running = tape.frame(state=ControlState.RUNNING, action_position=[0.895, 0])
    assert judge_all(check, [running]) == [PASS]


def test_while_the_arm_holds_the_policys_motion_counts_too() -> None:
    """It asks for 0.7, well before the wall, at 4 rad/s, and braking takes 0.22 rad. At rest all is well."""
    tape = Tape(ControlState.HOLDING)
    check = workspace.LinkClearance(settings(), Sliding())
    moving = [tape.frame(action_position=[0.6 + 0.02 * k, 0], action_ns=START_NS + k * PERIOD_NS) for k in range(6)]
    resting = tape.frame(action_position=[0.7, 0], action_ns=START_NS + 6 * PERIOD_NS)
    judgements = judge_all(check, [*moving, resting])
    assert judgements[0] == PASS
    assert judgements[5] == pytest.approx(Judgement(HOLD, 0.0, 0.9 - 0.7 - 0.22, 0.01))
    assert judgements[6] == PASS


def test_a_policy_whose_time_stands_still_on_hold_goes_on_as_fast_as_it_was() -> None:
    """It asked for 0.7 at 4 rad/s when the hold began, and repeats that: from 0.7 it would come to rest at 0.92."""
    tape = Tape(ControlState.RUNNING)
    check = workspace.LinkClearance(settings(), Sliding())
    running = [tape.frame(action_position=[0.6 + 0.02 * k, 0], action_ns=START_NS + k * PERIOD_NS) for k in range(6)]
    waiting = [
        tape.frame(state=ControlState.HOLDING, action_position=[0.7, 0], action_ns=START_NS + k * PERIOD_NS)
        for k in range(6, 10)
    ]
    relenting = tape.frame(action_position=[0.69, 0], action_ns=START_NS + 10 * PERIOD_NS)
    judgements = judge_all(check, [*running, *waiting, relenting])
    assert judgements[6:10] == [pytest.approx(Judgement(HOLD, 0.0, 0.9 - 0.7 - 0.22, 0.01))] * 4
    assert judgements[10] == PASS


def test_an_action_that_was_under_way_when_the_hold_began_is_no_motion_on_hold() -> None:
    """It answers the last frame of the run; from 0.72, at 4 rad/s, the policy would come to rest at 0.94."""
    tape = Tape(ControlState.RUNNING)
    check = workspace.LinkClearance(settings(), Sliding())
    running = [tape.frame(action_position=[0.6 + 0.02 * k, 0], action_ns=START_NS + k * PERIOD_NS) for k in range(6)]
    answered = int(running[-1]["stamp_ns"][0])
    waiting = [tape.frame(state=ControlState.HOLDING)]
    waiting += [tape.frame(action_position=[0.72, 0], action_ns=answered) for _ in range(2)]
    waiting += [tape.frame(action_ns=answered + k * PERIOD_NS) for k in (1, 2)]
    judgements = judge_all(check, [*running, *waiting])
    assert [judgement.level for judgement in judgements[6:]] == [HOLD] * 5
