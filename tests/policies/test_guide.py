"""Where plans begin and what their ends are worth: by hand, from members that say how they differ."""

import numpy as np
import pytest
import torch

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.guide import Guide
from robot_mbrl.policies.icem import Icem, IcemSettings
from robot_mbrl.policies.mppi import Mppi, MppiSettings
from robot_mbrl.policies.plan_parts import followed
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


def test_the_policy_is_followed_where_the_dynamics_mean_expects_it_to_lead() -> None:
    """`s' = s + u` from 0.25 with `a = -2 s`: -0.5, 0.5, -0.5; from 4 the first is cut off at -1."""
    dynamics = linear_members([np.array([[0.0], [1.0]])])
    guide, task = Guide(twice, drifting_members(0.0), opposite(), 1.0), QuadraticTask(states=1, actions=1)
    found = followed(task, dynamics, guide, torch.tensor([0.25]), 3)
    np.testing.assert_allclose(found, [[-0.5], [0.5], [-0.5]], rtol=ROUNDING)
    assert followed(task, dynamics, guide, torch.tensor([4.0]), 1).item() == task.action_low.item()


def test_a_search_begins_at_what_is_proposed_whatever_the_last_plan_was() -> None:
    limits = 4, torch.tensor([-1.0]), torch.tensor([1.0]), torch.Generator().manual_seed(0)
    proposal = torch.tensor([[0.5], [0.25], [0.0], [-0.5]])
    for search in (Icem(IcemSettings(population=8, elites=2), *limits), Mppi(MppiSettings(population=8), *limits)):
        search.begin(1)
        candidates = search.propose(0)
        search.update(candidates, candidates.sum(dim=(1, 2)))
        search.begin(1, proposal)
        assert torch.equal(search.mean, proposal)
        # What the last plan kept would come on top of the population.
        assert len(search.propose(0)) == 8
