"""The planner for a robot: optimum, deadline, latency, warm start, NaN."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from robot_mbrl.contracts.clock import ManualClock, to_ns
from robot_mbrl.contracts.errors import ConfigError, DeadlineTooShort
from robot_mbrl.policies.fast_planner import FastPlanner, FastPlannerSettings
from robot_mbrl.policies.task_model import TaskModel
from tests.policies.linear_problems import (
    DOUBLE_INTEGRATOR,
    ForbiddenPush,
    Hopeless,
    QuadraticTask,
    best_cost,
    drifting_members,
    linear_members,
)

STATE = np.array([0.5, -0.2], np.float32)
ICEM = {"kind": "icem", "population": 200, "iterations": 5, "colour": 0.5}
MPPI = {"kind": "mppi", "population": 200, "iterations": 6, "temperature": 0.02, "deviation": 0.3}
both = pytest.mark.parametrize("optimizer", [ICEM, MPPI], ids=["icem", "mppi"])


def integrator_planner(
    optimizer: Mapping[str, object], clock: ManualClock, task: TaskModel | None = None, **rollouts: object
) -> FastPlanner:
    settings = {"horizon": 8, "optimizer": optimizer, "rollouts": {"kernel": "float32", "threads": 1} | rollouts}
    return FastPlanner(
        QuadraticTask(states=2, actions=1) if task is None else task,
        linear_members([DOUBLE_INTEGRATOR] * 2),
        FastPlannerSettings.model_validate(settings),
        torch.Generator().manual_seed(0),
        clock,
    )


@both
def test_the_plan_is_close_to_the_linear_quadratic_optimum(optimizer: Mapping[str, object]) -> None:
    planner = integrator_planner(optimizer, ManualClock())
    cost, first = best_cost(DOUBLE_INTEGRATOR, STATE.astype(float), 8, effort=0.1)
    for _ in range(2):
        planner.plan(STATE, elapsed=0)
    plan = planner.plan(STATE, elapsed=0)
    assert cost - 1e-4 <= -plan.value <= 1.02 * cost
    assert plan.actions[0] == pytest.approx(first, abs=0.25)
    assert plan.finished


@both
def test_states_and_value_are_those_of_the_actions(optimizer: Mapping[str, object]) -> None:
    plan = integrator_planner(optimizer, ManualClock()).plan(STATE)
    states = [STATE.astype(float)]
    for action in plan.actions:
        position, velocity = states[-1]
        states.append(np.array([position + 0.1 * velocity, velocity + 0.1 * action[0]]))
    assert plan.states == pytest.approx(np.array(states), abs=1e-5)
    assert -plan.value == pytest.approx(np.square(states[1:]).sum() + 0.1 * np.square(plan.actions).sum(), rel=1e-4)
    assert plan.disagreement == pytest.approx(np.zeros(8), abs=1e-6)


@both
def test_a_nan_is_never_chosen(optimizer: Mapping[str, object]) -> None:
    task = ForbiddenPush(states=1, actions=1, limit=1.0)
    settings = FastPlannerSettings.model_validate({"horizon": 1, "optimizer": optimizer})
    planner = FastPlanner(task, drifting_members(0.0), settings, torch.Generator().manual_seed(0), ManualClock())
    plan = planner.plan(np.zeros(1, np.float32))
    assert -0.2 < plan.actions[0, 0] <= 0.0
    assert plan.value == pytest.approx(plan.actions[0, 0])


@both
def test_a_plan_without_any_finite_return_says_so(optimizer: Mapping[str, object]) -> None:
    plan = integrator_planner(optimizer, ManualClock(), Hopeless(states=2, actions=1)).plan(STATE)
    assert plan.value == -np.inf
    assert np.isfinite(plan.actions).all()


def test_where_nothing_is_finite_the_plan_is_the_last_one_and_no_random_candidate() -> None:
    optimizer = {"kind": "icem", "population": 20, "elites": 5, "scouts": 10}
    plan = integrator_planner(optimizer, ManualClock(), Hopeless(states=2, actions=1)).plan(STATE)
    assert plan.actions.tolist() == [[0.0]] * len(plan.actions)


@both
def test_a_good_plan_is_not_lost_as_time_goes_on(optimizer: Mapping[str, object]) -> None:
    """Driven by its plans the integrator pays at most 5 % more than under the optimal feedback."""
    planner = integrator_planner(optimizer, ManualClock())
    state, cost = STATE.astype(float), 0.0
    for _ in range(15):
        action = float(planner.plan(state.astype(np.float32)).actions[0, 0])
        state = state + np.array([0.1 * state[1], 0.1 * action])
        cost += float(state @ state) + 0.1 * action**2
    optimal, best = STATE.astype(float), 0.0
    for _ in range(15):
        action = float(best_cost(DOUBLE_INTEGRATOR, optimal, 8, effort=0.1)[1][0])
        optimal = optimal + np.array([0.1 * optimal[1], 0.1 * action])
        best += float(optimal @ optimal) + 0.1 * action**2
    assert cost < 1.05 * best


def test_the_plan_begins_after_the_pending_actions() -> None:
    """(0.5, -0.2) with forces 1 and -2: (0.48, -0.1), then (0.47, -0.3)."""
    pending = np.array([[1.0], [-2.0]], np.float32)
    plan = integrator_planner(ICEM, ManualClock()).plan(STATE, pending=pending)
    assert plan.states[0] == pytest.approx([0.47, -0.3])


class Recording(QuadraticTask):
    """Keeps the actions that it is asked about, step by step: (e, r, n, a) each."""

    def __init__(self) -> None:
        super().__init__(states=2, actions=1)
        self.asked: list[Tensor] = []

    def model_inputs(self, state: Tensor, action: Tensor) -> Tensor:
        self.asked.append(action)
        return super().model_inputs(state, action)


def test_the_last_plan_moved_on_by_the_steps_that_have_passed_is_among_the_first_candidates() -> None:
    task = Recording()
    planner = integrator_planner(ICEM, ManualClock(), task, rows=10_000)
    before = planner.plan(STATE).actions
    task.asked.clear()
    planner.plan(STATE, elapsed=3)
    candidates = torch.stack([action[0, 0] for action in task.asked[:8]], dim=1)
    assert bool((candidates[:, :5] == torch.from_numpy(before[3:])).all(dim=(1, 2)).any())


class SlowTask(QuadraticTask):
    """The reward of an iteration takes `period` [s] on the clock."""

    def __init__(self, clock: ManualClock, period: float) -> None:
        super().__init__(states=2, actions=1)
        self._clock, self._period = clock, period

    def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        self._clock.advance(self._period)
        return super().reward(state, action, next_state)


def test_the_deadline_gives_the_best_plan_so_far() -> None:
    """An iteration takes 8 ms: 5 of them fit in 40 ms, 2 in 20 ms, and none in 7.9 ms."""
    clock = ManualClock()
    planner = integrator_planner(ICEM, clock, SlowTask(clock, 0.008), rows=10_000)
    whole = planner.plan(STATE, clock.now_ns() + to_ns(0.040))
    assert (whole.iterations, whole.finished) == (5, True)
    begun = clock.now_ns()
    short = planner.plan(STATE, begun + to_ns(0.020))
    assert (short.iterations, short.finished) == (2, False)
    assert clock.now_ns() - begun == to_ns(0.016)
    with pytest.raises(DeadlineTooShort, match=r"^7\.9 ms are left for the plan, one iteration takes 8\.0 ms: give"):
        planner.plan(STATE, clock.now_ns() + to_ns(0.0079))


def test_a_plan_that_finds_no_time_changes_nothing() -> None:
    """The next one is what it would have been: mean, elites and random numbers are as they were."""
    following = []
    for refused in (False, True):
        clock = ManualClock()
        planner = integrator_planner(ICEM, clock, SlowTask(clock, 0.008), rows=10_000)
        planner.plan(STATE)
        if refused:
            with pytest.raises(DeadlineTooShort):
                planner.plan(STATE, clock.now_ns() + to_ns(0.001))
        following.append(planner.plan(STATE, clock.now_ns() + to_ns(0.040), elapsed=1))
    assert following[0].finished
    assert following[0].actions.tolist() == following[1].actions.tolist()


def test_doubt_keeps_the_plan_where_the_nets_agree() -> None:
    """Both nets answer to the action, more differently the stronger it is; the reward wants it strong."""

    class Eager(QuadraticTask):
        def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
            del state, next_state
            return action.sum(dim=-1)

    task = Eager(states=1, actions=1, limit=1.0)
    ensemble = linear_members([np.array([[0.0], [1.0]]), np.array([[0.0], [-1.0]])])
    chosen = []
    for weight in (0.0, 10.0):
        settings = FastPlannerSettings.model_validate(
            {"horizon": 1, "optimizer": ICEM, "rollouts": {"epistemic_weight": weight}}
        )
        planner = FastPlanner(task, ensemble, settings, torch.Generator().manual_seed(0), ManualClock())
        chosen.append(float(planner.plan(np.zeros(1, np.float32)).actions[0, 0]))
    assert chosen[0] == pytest.approx(1.0, abs=0.01)
    assert chosen[1] == pytest.approx(0.0, abs=0.05)


def test_limits_keep_the_plan_away() -> None:
    """The goal at 0 lies past a wall at -0.1 that the particles must not pass: 0.1 is where the plan stays."""

    class Beyond(QuadraticTask):
        def violation(self, state: Tensor) -> Tensor:
            return 0.3 - state[..., :1]

    task = Beyond(states=1, actions=1, effort=0.0, limit=1.0)
    ensemble = linear_members([np.array([[0.0], [0.5]])])
    settings = FastPlannerSettings.model_validate({"horizon": 3, "optimizer": ICEM})
    planner = FastPlanner(task, ensemble, settings, torch.Generator().manual_seed(0), ManualClock())
    for _ in range(3):
        plan = planner.plan(np.ones(1, np.float32), elapsed=0)
    assert plan.states[1:].min() >= 0.3
    assert plan.states[-1, 0] < 0.4


def test_an_ensemble_of_another_task_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^ensemble of 2 inputs and 1 outputs: the task has 3 and 2"):
        FastPlanner(
            QuadraticTask(states=2, actions=1),
            drifting_members(0.0),
            FastPlannerSettings(),
            torch.Generator(),
            ManualClock(),
        )


def test_a_planner_is_the_same_for_the_same_generator() -> None:
    plans = [integrator_planner(ICEM, ManualClock()).plan(STATE) for _ in range(2)]
    assert plans[0].actions.tolist() == plans[1].actions.tolist()
