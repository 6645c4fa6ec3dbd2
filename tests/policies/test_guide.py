"""What plans depart from and what their ends are worth: by hand, from members that say how they differ."""

import numpy as np
import pytest
import torch

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.fast_planner import FastPlanner, FastPlannerSettings
from robot_mbrl.policies.guide import Guide
from robot_mbrl.policies.rollouts import Rollouts, RolloutSettings
from tests.policies.linear_problems import DOUBLE_INTEGRATOR, QuadraticTask, drifting_members, linear_members

ROUNDING = 1e-2
"""Of bfloat16, where the processor has it."""


def twice(state: torch.Tensor) -> torch.Tensor:
    return torch.cat((state, state), dim=-1)


def opposite() -> ProbabilisticEnsemble:
    """What answers -2 s to two inputs that are both s."""
    return linear_members([np.array([[-1.0], [-1.0]])])


@pytest.mark.parametrize(("caution", "worth"), [(0.0, 4.0), (1.0, 2.0), (0.5, 3.0)])
def test_a_value_is_the_members_mean_less_their_deviations(caution: float, worth: float) -> None:
    """Members that say 2 and 6: mean 4, deviation 2."""
    found = Guide(twice, drifting_members(2.0, 6.0), opposite(), caution).value(torch.zeros(3, 5, 1))
    assert found.shape == (3, 5)
    np.testing.assert_allclose(found, worth, rtol=ROUNDING)


def test_both_see_the_inputs_that_the_task_makes_of_a_state() -> None:
    """`v = 3 s + 4 s` and `a = -2 s` of states 1 and 2."""
    guide = Guide(twice, linear_members([np.array([[3.0], [4.0]])] * 2), opposite(), 1.0)
    states = torch.tensor([[1.0], [2.0]])
    np.testing.assert_allclose(guide.value(states), [7.0, 14.0], rtol=ROUNDING)
    np.testing.assert_allclose(guide.action(states), [[-2.0], [-4.0]], rtol=ROUNDING)


def test_it_keeps_the_weights_that_it_took_over_until_it_is_told() -> None:
    value, policy = drifting_members(1.0), drifting_members(1.0)
    guide = Guide(twice, value, policy, 0.0)
    state = torch.zeros(1, 1)
    with torch.no_grad():
        value.biases[0][0, 0, 0], policy.biases[0][0, 0, 0] = 5.0, 6.0
    assert (guide.value(state).item(), guide.action(state).item()) == (1.0, 1.0)
    guide.refresh()
    assert (guide.value(state).item(), guide.action(state).item()) == (5.0, 6.0)


def test_an_ensemble_of_states_is_no_value() -> None:
    with pytest.raises(ConfigError, match=r"2 outputs.*fitted to returns"):
        Guide(twice, linear_members([DOUBLE_INTEGRATOR]), opposite(), 1.0)


def test_a_plan_is_worth_its_rewards_and_its_last_state() -> None:
    """Nets that move by 1 and 3 end at 2 and 6: rewards -1 - 4 and -9 - 36, values -2 · 2 and -2 · 6, mean of both."""
    guide = Guide(twice, opposite(), opposite(), 1.0)
    settings = RolloutSettings(kernel="float32", violation_weight=0.0)
    task = QuadraticTask(states=1, actions=1)
    rollouts = Rollouts(task, drifting_members(1.0, 3.0), settings, torch.Generator().manual_seed(0), guide)
    outcome = rollouts(torch.zeros(1), torch.zeros(1, 2, 1), rollouts.draw_noise(2))
    assert outcome.values.item() == pytest.approx((-5.0 - 45.0) / 2 + (-4.0 - 12.0) / 2, rel=ROUNDING)
    assert outcome.costs.item() == pytest.approx(-outcome.values.item())


def integrator_rollouts(guide: Guide | None, limit: float = 3.0) -> Rollouts:
    """`s' = s + u`."""
    dynamics, task = linear_members([np.array([[0.0], [1.0]])]), QuadraticTask(states=1, actions=1, limit=limit)
    return Rollouts(task, dynamics, RolloutSettings(kernel="float32"), torch.Generator(), guide)


def test_candidates_are_added_to_the_policy_where_the_mean_expects_them_to_lead() -> None:
    """With `a = -2 s` from 0.25: 0 added is -0.5, 0.5, -0.5; 0.25 added at first is -0.25, and 0 is reached."""
    rollouts = integrator_rollouts(Guide(twice, drifting_members(0.0), opposite(), 1.0))
    found = rollouts.actions(torch.tensor([0.25]), torch.tensor([[[0.0], [0.0], [0.0]], [[0.25], [0.0], [0.0]]]))
    np.testing.assert_allclose(found, [[[-0.5], [0.5], [-0.5]], [[-0.25], [0.0], [0.0]]], rtol=ROUNDING, atol=ROUNDING)


def test_what_is_added_does_not_lead_past_the_actions_range() -> None:
    rollouts = integrator_rollouts(Guide(twice, drifting_members(0.0), opposite(), 1.0))
    found = rollouts.actions(torch.tensor([1.0]), torch.tensor([[[-2.0]], [[6.0]]]))
    np.testing.assert_allclose(found, [[[-3.0]], [[3.0]]])


def test_a_policy_of_a_wider_range_can_be_led_back() -> None:
    """The policy says -2 where only -0.3 to 0.3 may be done: half of that range added is no action at all."""
    rollouts = integrator_rollouts(Guide(twice, drifting_members(0.0), opposite(), 1.0), limit=0.3)
    found = rollouts.actions(torch.tensor([1.0]), torch.tensor([[[0.0]], [[0.3]]]))
    np.testing.assert_allclose(found, [[[-0.3]], [[0.0]]])


def test_its_nets_are_evaluated_as_those_of_the_rollouts() -> None:
    """`v = 3 s + 4 s` to all digits of float32, where bfloat16 would have eight bits of the weights."""
    guide = Guide(twice, linear_members([np.array([[3.001], [4.001]])]), opposite(), 1.0)
    integrator_rollouts(guide)
    assert guide.value(torch.tensor([[1.0]])).item() == pytest.approx(7.002, abs=1e-5)


def test_without_a_guide_candidates_are_the_actions() -> None:
    candidates = torch.tensor([[[0.5], [-0.25]]])
    assert torch.equal(integrator_rollouts(None).actions(torch.zeros(1), candidates), candidates)


@pytest.mark.parametrize(
    "optimizer",
    [
        {"kind": "icem", "elites": 4, "iterations": 2, "deviation": 0.5},
        {"kind": "mppi", "deviation": 0.001, "least_deviation": 0.0},
    ],
)
def test_a_plan_is_the_policy_where_nothing_else_is_better_whatever_the_last_plan_was(
    optimizer: dict[str, object],
) -> None:
    """`s' = s + u` is at its goal after one step of `a = -s`, which costs nothing where effort is free."""
    task = QuadraticTask(states=1, actions=1, effort=0.0)
    policy = linear_members([np.array([[-0.5], [-0.5]])])
    settings = {"horizon": 3, "optimizer": optimizer | {"population": 8}}
    planner = FastPlanner(
        task,
        linear_members([np.array([[0.0], [1.0]])]),
        FastPlannerSettings.model_validate(settings),
        torch.Generator().manual_seed(0),
        ManualClock(),
        Guide(twice, drifting_members(0.0), policy, 0.0),
    )
    for state in (2.0, -1.0):
        plan = planner.plan(np.array([state], np.float32))
        np.testing.assert_allclose(plan.actions, [[-state], [0.0], [0.0]], atol=ROUNDING)


@pytest.mark.parametrize(("trust", "searches"), [(0.9, False), (1.1, True)])
def test_the_policy_acts_alone_where_the_members_disagree_about_it(trust: float, searches: bool) -> None:
    """Members that move by 1 and 3 whatever is done disagree by 1; nothing that costs effort is better than nothing."""
    policy = linear_members([np.array([[0.0], [0.0]])], [np.array([0.5])])
    settings = {"horizon": 3, "optimizer": {"kind": "icem", "population": 40, "iterations": 2}}
    planner = FastPlanner(
        QuadraticTask(states=1, actions=1, effort=10.0),
        drifting_members(1.0, 3.0),
        FastPlannerSettings.model_validate(settings),
        torch.Generator().manual_seed(0),
        ManualClock(),
        Guide(twice, drifting_members(0.0), policy, 0.0, trust),
    )
    plan = planner.plan(np.zeros(1, np.float32))
    np.testing.assert_allclose(plan.disagreement, 1.0, rtol=ROUNDING)
    assert (plan.iterations, plan.finished) == (2 if searches else 0, True)
    assert (np.abs(plan.actions - 0.5) < ROUNDING).all() != searches
