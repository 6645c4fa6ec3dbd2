"""A planner on an arm: it is shown the state in which its plan takes effect, and its answer reaches the arm."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from robot_mbrl.contracts.clock import ManualClock, to_ns
from robot_mbrl.contracts.errors import ConfigError, DeadlineTooShort, NonFiniteCommand
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.joint_space import OBSERVED, JointSpace
from robot_mbrl.policies.planner_policy import REHEARSALS, PlannerPolicy, PlannerPolicySettings
from robot_mbrl.policies.task_model import Float32Array, Plan

PERIOD = 0.05
STEP = 0.2
GOAL = (0.2, 0.0, 0.1)


class PaperTask:
    """One joint. A period takes half of its way to the target, and leaves it at the speed of that way in a period.

    To predict that takes `takes` [s].
    """

    period = PERIOD
    step = np.array([STEP])

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.takes = clock, 0.0

    def state(self, position: FloatArray, velocity: FloatArray, targets: FloatArray, goal: FloatArray) -> Float32Array:
        return np.concatenate([position, velocity, targets, goal]).astype(np.float32)

    def action(self, targets: FloatArray, after: FloatArray) -> Float32Array:
        return np.clip((after - targets) / STEP, -1.0, 1.0).astype(np.float32)

    def next_targets(self, targets: FloatArray, action: Float32Array) -> FloatArray:
        after: FloatArray = targets + STEP * action
        return after

    def predict(self, state: Float32Array, action: Float32Array) -> Float32Array:
        self.clock.advance(self.takes)
        target = state[2] + STEP * action[0]
        way = 0.5 * (target - state[0])
        return np.array([state[0] + way, way / PERIOD, target, *state[3:]], np.float32)


class PaperPlanner:
    """Answers with full actions upwards, and takes `takes` [s] for it; with less than `least` [s] it does not begin."""

    def __init__(self, clock: ManualClock, least: float, value: float = 0.0) -> None:
        self.clock, self.least, self.takes, self.resets, self.action = clock, least, 0.0, 0, 1.0
        self.value = value
        self.asked: list[tuple[Float32Array, int | None, int]] = []

    def reset(self) -> None:
        self.resets += 1

    def refresh(self) -> None:
        """Nothing to take over."""

    def plan(
        self,
        state: Float32Array,
        deadline_ns: int | None = None,
        pending: Float32Array | None = None,
        elapsed: int = 1,
    ) -> Plan:
        assert pending is None
        if deadline_ns is not None and deadline_ns - self.clock.now_ns() < to_ns(self.least):
            raise DeadlineTooShort("no time for an iteration")
        self.asked.append((state, deadline_ns, elapsed))
        self.clock.advance(self.takes)
        actions = np.full((3, 1), self.action, np.float32)
        return Plan(actions, self.value, np.array([0.1, 0.4, 0.2], np.float32), np.zeros((4, 6), np.float32), 1, True)


class Stage:
    """A policy with all its parts, at 10 s; what it has rehearsed is kept apart."""

    def __init__(
        self,
        observed: tuple[str, ...] = OBSERVED,
        period: float = PERIOD,
        least: float = 0.0,
        value: float = 0.0,
        **settings: Any,
    ) -> None:
        self.clock = ManualClock(to_ns(10.0))
        self.task, self.planner = PaperTask(self.clock), PaperPlanner(self.clock, least, value)
        space = JointSpace(
            arm="paper",
            names=("a",),
            position_limits=np.array([[-1.0, 1.0]]),
            velocity_limits=np.array([4.0]),
            period=period,
            lifetime=3.0 * period,
            clock=self.clock,
            observed=observed,
        )
        given: dict[str, Any] = {"goals": (GOAL,), "speed": 1.0} | settings
        self.policy = PlannerPolicy(self.planner, self.task, PlannerPolicySettings(**given), space)
        self.rehearsed, self.planner.asked = self.planner.asked, []

    def act(self, position: float, commanded: float, time: float = 0.0, **others: FloatArray) -> Any:
        return self.policy.act(
            {
                "time": np.array([time]),
                "position": np.array([position]),
                "velocity": np.array([0.0]),
                "commanded": np.array([commanded]),
                **others,
            }
        )

    @property
    def seen(self) -> list[float]:
        """Joint, velocity and target of the state that the planner was shown last."""
        return [round(float(value), 5) for value in self.planner.asked[-1][0][:3]]


def test_a_resting_arm_is_planned_for_from_rest() -> None:
    stage = Stage()
    action = stage.act(0.3, 0.3)
    assert stage.seen == [0.3, 0.0, 0.3]
    assert action.position.tolist() == pytest.approx([0.5])
    assert action.disagreement == pytest.approx(0.4)
    assert action.expires_ns == to_ns(10.0 + 3 * PERIOD)


def test_without_latency_the_plan_begins_half_a_period_ahead() -> None:
    stage = Stage()
    stage.policy.latency = 0.0
    stage.act(0.0, 0.0)
    stage.clock.advance(PERIOD)
    stage.act(0.0, 0.1)
    # On the way from target 0 to 0.2 a period would bring 0.1 and 2 rad/s, half of it the half of both.
    assert stage.seen == [0.05, 1.0, 0.2]


def test_a_latency_of_a_period_is_a_period_and_a_half_ahead() -> None:
    stage = Stage()
    stage.policy.latency = 0.0
    stage.act(0.0, 0.0)
    stage.policy.latency = PERIOD
    stage.act(0.0, 0.1)
    # A whole period brings 0.1 and 2 rad/s; in the next one the joint would come to 0.15 at 1 rad/s.
    assert stage.seen == [0.125, 1.5, 0.2]


def test_the_latency_is_learned_from_what_plans_take() -> None:
    stage = Stage(budget=0.5)
    assert stage.policy.latency == pytest.approx(0.025)
    stage.planner.takes = 0.015
    stage.act(0.0, 0.0)
    assert stage.policy.latency == pytest.approx(0.025 + 0.2 * (0.015 - 0.025))
    assert stage.planner.asked[0][1] == to_ns(10.0 + 0.5 * PERIOD)
    # A plan that came far too late tells nothing about the others.
    stage.planner.takes = 3.0
    stage.act(0.0, 0.0)
    assert stage.policy.latency == pytest.approx(0.023 + 0.2 * (PERIOD - 0.023))


def test_the_next_plan_goes_on_from_the_target_that_was_sent() -> None:
    stage = Stage()
    first = stage.act(0.0, 0.0)
    second = stage.act(0.0, 0.1)
    assert (first.position[0], second.position[0]) == pytest.approx((0.2, 0.4))


def test_an_arm_that_is_held_is_planned_for_from_where_it_is_commanded() -> None:
    stage = Stage()
    for _ in range(3):
        stage.act(0.0, 0.0)
    # The target ran ahead to 0.6, more than three full steps from the goal that is held.
    assert stage.act(-0.1, -0.1).position.tolist() == pytest.approx([0.1])
    assert stage.seen == [-0.1, 0.0, -0.1]


def test_goals_stay_within_the_limits() -> None:
    stage = Stage()
    assert stage.act(0.95, 0.95).position.tolist() == [1.0]
    assert stage.act(1.0, 1.0).position.tolist() == [1.0]


def test_missed_steps_are_told_to_the_planner() -> None:
    stage = Stage()
    stage.act(0.0, 0.0)
    stage.clock.advance(3 * PERIOD)
    stage.act(0.0, 0.0)
    assert [elapsed for _, _, elapsed in stage.planner.asked] == [1, 3]
    stage.policy.reset()
    stage.act(0.0, 0.0)
    assert stage.planner.asked[-1][2] == 1
    assert stage.planner.resets == 2  # one before the first episode


def test_without_time_for_an_iteration_the_last_plan_stays_and_the_next_is_made() -> None:
    """Of 30 ms something else takes 25, and 10 are needed: no plan; the one after is told of two steps."""
    stage = Stage(least=0.010)
    last, plan = stage.act(0.0, 0.0), stage.policy.plan
    stage.clock.advance(PERIOD)
    stage.task.takes = 0.025
    with pytest.raises(DeadlineTooShort):
        stage.act(0.0, 0.1)
    assert stage.policy.plan is plan
    stage.clock.advance(PERIOD - 0.025)
    stage.task.takes = 0.0
    following = stage.act(0.1, 0.2)
    assert [elapsed for _, _, elapsed in stage.planner.asked] == [1, 2]
    assert following.position == pytest.approx(last.position + STEP)
    assert following.expires_ns == last.expires_ns + to_ns(2 * PERIOD)


def test_plans_are_rehearsed_without_a_deadline_and_then_with_one() -> None:
    stage = Stage(budget=0.5)
    deadlines = [deadline for _, deadline, _ in stage.rehearsed]
    assert deadlines == [None] * REHEARSALS + [to_ns(10.0 + 0.5 * PERIOD)]
    assert stage.rehearsed[0][0].tolist() == pytest.approx([0.0, 0.0, 0.0, *GOAL])
    assert stage.policy.outlook() is None


def test_a_budget_too_short_for_an_iteration_is_refused_before_there_is_an_arm() -> None:
    assert isinstance(Stage(least=0.030, budget=0.6).policy, PlannerPolicy)
    with pytest.raises(ConfigError, match=r"^no time for an iteration$"):
        Stage(least=0.031, budget=0.6)


def test_a_plan_of_which_nothing_finite_is_expected_is_not_sent() -> None:
    """The arm then stops, as it does for any action that is not finite: what it does would be chance."""
    stage = Stage()
    stage.act(0.0, 0.0)
    stage.planner.value = -np.inf
    with pytest.raises(NonFiniteCommand, match="expects nothing finite of any plan: the plan was not sent"):
        stage.act(0.1, 0.2)


def test_a_model_that_expects_nothing_finite_is_refused_before_there_is_an_arm() -> None:
    with pytest.raises(ConfigError, match="for an arm at rest: give a run that learned something"):
        Stage(value=-np.inf)


def test_goals_come_one_after_the_other_and_again() -> None:
    other = (0.1, 0.1, 0.1)
    stage = Stage(goals=(GOAL, other), dwell=2.0)
    shown = []
    for time in (0.0, 1.9, 2.0, 4.1):
        stage.act(0.0, 0.0, time)
        shown.append(tuple(np.round(stage.planner.asked[-1][0][3:].astype(float), 6)))
    assert shown == [GOAL, GOAL, other, GOAL]


def test_the_deployments_own_goal_comes_first() -> None:
    stage = Stage(observed=(*OBSERVED, "goal"), goals=())
    stage.act(0.0, 0.0, goal=np.array([0.3, 0.2, 0.1]))
    assert_allclose(stage.planner.asked[-1][0][3:], [0.3, 0.2, 0.1])


def test_the_outlook_tells_the_whole_plan_and_when_it_takes_effect() -> None:
    stage = Stage()
    assert stage.policy.outlook() is None
    stage.policy.latency = 0.02
    stage.planner.takes = 0.02
    stage.act(0.3, 0.3)
    outlook = stage.policy.outlook()
    assert outlook is not None
    # 20 ms of planning and half of the period that the way to the first goal takes.
    assert outlook.begins_ns == to_ns(10.0 + 0.02 + 0.025)
    assert outlook.period == PERIOD
    assert_allclose(outlook.goals, [[0.5], [0.7], [0.9]], atol=1e-6)
    assert_allclose(outlook.disagreement, [0.1, 0.4, 0.2], atol=1e-6)
    assert outlook.positions.shape == (3, 1)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="no goal: give goals in its file"):
        Stage(goals=())
    with pytest.raises(ConfigError, match=r"steps every 0\.05 s, the policy every 0\.0333333 s: give --policy-rate 20"):
        Stage(period=1.0 / 30.0)
