"""The reference planner: particles, CEM's equations and analytically solvable problems."""

import numpy as np
import pytest
import torch
from torch import Tensor

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.pets import Gaussian, PetsPlanner, PetsSettings, shifted, truncated_normal, worst_if_not_finite
from tests.policies.linear_problems import (
    CERTAIN,
    DOUBLE_INTEGRATOR,
    AnywhereButPast,
    ForbiddenPush,
    Hopeless,
    QuadraticTask,
    best_cost,
    drifting_members,
    linear_members,
)

ORIGIN = np.zeros(1, np.float32)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drifting_planner(settings: PetsSettings, *drifts: float, deviation: float = CERTAIN) -> PetsPlanner:
    task = QuadraticTask(states=1, actions=1)
    return PetsPlanner(task, drifting_members(*drifts, deviation=deviation), settings, generator(), ManualClock())


def test_ts_infinity_keeps_each_particle_on_its_net() -> None:
    """Nets that move by +1 and -1 lead to ±1, then ±2: the rewards -1 - 4."""
    planner = drifting_planner(PetsSettings(particles=2, propagation="TSinf"), 1.0, -1.0)
    returns, states = planner.rollout(torch.zeros(1), torch.zeros(50, 2, 1))
    assert returns.tolist() == pytest.approx([-5.0] * 50, abs=1e-4)
    assert states.flatten().tolist() == pytest.approx([0.0] * 150, abs=1e-5)


def test_ts1_draws_the_net_anew_each_step() -> None:
    """After ±1 the two particles keep or swap their nets, each in half of the candidates: -1 - 4, or -1 - 0."""
    planner = drifting_planner(PetsSettings(particles=2, propagation="TS1"), 1.0, -1.0)
    returns, _ = planner.rollout(torch.zeros(1), torch.zeros(1000, 2, 1))
    kept = (returns + 5.0).abs() < 1e-4
    swapped = (returns + 1.0).abs() < 1e-4
    assert bool((kept | swapped).all())
    assert kept.float().mean().item() == pytest.approx(0.5, abs=0.06)


def test_particles_carry_the_nets_noise() -> None:
    """One step from 0 with deviation 0.5: the mean of -s² is -0.25."""
    planner = drifting_planner(PetsSettings(particles=20), 0.0, 0.0, deviation=0.5)
    returns, _ = planner.rollout(torch.zeros(1), torch.zeros(2000, 1, 1))
    assert returns.mean().item() == pytest.approx(-0.25, abs=0.01)


def test_the_mean_state_is_the_mean_over_particles() -> None:
    planner = drifting_planner(PetsSettings(particles=4), 1.0, 4.0)
    _, states = planner.rollout(torch.tensor([1.0]), torch.zeros(1, 2, 1))
    assert states.flatten().tolist() == pytest.approx([1.0, 3.5, 6.0])


def test_only_the_elites_among_the_nets_predict() -> None:
    ensemble = drifting_members(1.0, 100.0, 3.0, 100.0)
    ensemble.elites = torch.tensor([2, 0])
    task = QuadraticTask(states=1, actions=1)
    planner = PetsPlanner(task, ensemble, PetsSettings(particles=2), generator(), ManualClock())
    _, states = planner.rollout(torch.zeros(1), torch.zeros(1, 1, 1))
    assert states.flatten().tolist() == pytest.approx([0.0, 2.0])


def test_cem_moves_to_the_elites_and_keeps_a_tenth_of_the_old() -> None:
    """Elites 1 and 3 of costs 0 and 1: mean 0.1 * 10 + 0.9 * 2, variance 0.1 * 4 + 0.9 * 1."""
    planner = drifting_planner(PetsSettings(horizon=1, population=4, elites=2, particles=1), 0.0)
    candidates = torch.tensor([1.0, 50.0, 3.0, 70.0]).view(4, 1, 1)
    fitted = planner.refit(
        Gaussian(torch.tensor([[10.0]]), torch.tensor([[4.0]])), candidates, torch.tensor([0.0, 7.0, 1.0, torch.inf])
    )
    assert fitted.mean.item() == pytest.approx(2.8)
    assert fitted.variance.item() == pytest.approx(1.3)


def test_candidates_of_infinite_cost_are_never_elites() -> None:
    planner = drifting_planner(PetsSettings(horizon=1, population=3, elites=3, particles=1, alpha=0.0), 0.0)
    before = Gaussian(torch.tensor([[10.0]]), torch.tensor([[4.0]]))
    candidates = torch.tensor([1.0, 2.0, 60.0]).view(3, 1, 1)
    some = planner.refit(before, candidates, torch.tensor([0.0, 1.0, torch.inf]))
    assert some.mean.item() == pytest.approx(1.5)
    assert planner.refit(before, candidates, torch.full((3,), torch.inf)) is before


def test_draws_are_cut_at_two_deviations_and_narrowed_before_a_bound() -> None:
    """From 0.8 it is 0.2 to the bound at 1: the deviation is 0.1, and 0.6 to 1 is what may come."""
    gaussian = Gaussian(torch.tensor([[0.8]]), torch.tensor([[5.0]]))
    draws = truncated_normal(gaussian, torch.tensor([[-1.0]]), torch.tensor([[1.0]]), 20_000, generator())
    assert 0.6 <= draws.min().item() < 0.602
    assert 0.998 < draws.max().item() <= 1.0
    # A standard normal cut at ±2 has the variance 1 - 4 φ(2) / (2 Φ(2) - 1) = 0.7737.
    assert draws.var().item() == pytest.approx(0.7737 * 0.01, rel=0.03)


class Recording(QuadraticTask):
    """Keeps the actions that it is asked about."""

    def __init__(self) -> None:
        super().__init__(states=1, actions=1, limit=2.0)
        self.asked: list[Tensor] = []

    def model_inputs(self, state: Tensor, action: Tensor) -> Tensor:
        self.asked.append(action)
        return super().model_inputs(state, action)


def test_the_first_variance_is_a_sixteenth_of_the_squared_range() -> None:
    """Actions in ±2: the variance is 16 / 16, which the bounds leave as it is, times 0.7737 for the cut."""
    task = Recording()
    settings = PetsSettings(horizon=1, population=20_000, elites=10, iterations=1, particles=1)
    PetsPlanner(task, drifting_members(0.0), settings, generator(), ManualClock()).plan(ORIGIN)
    assert task.asked[0].std().item() == pytest.approx(0.7737**0.5, rel=0.02)


def test_the_plan_moves_on_in_time_and_is_filled_with_zeros() -> None:
    actions = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    assert shifted(actions, 1).tolist() == [[2.0, 20.0], [3.0, 30.0], [0.0, 0.0]]
    assert shifted(actions, 0).tolist() == actions.tolist()
    assert shifted(actions, 5).tolist() == [[0.0, 0.0]] * 3


def test_cem_ends_when_the_variance_is_below_a_thousandth() -> None:
    task = QuadraticTask(states=1, actions=1, limit=0.05)
    planner = PetsPlanner(task, drifting_members(0.0), PetsSettings(horizon=2, particles=1), generator(), ManualClock())
    plan = planner.plan(ORIGIN)
    assert plan.iterations == 1
    assert plan.finished


def test_what_is_not_finite_is_worst() -> None:
    costs = worst_if_not_finite(torch.tensor([1.0, torch.nan, -torch.inf, torch.inf]))
    assert costs.tolist() == [1.0, torch.inf, torch.inf, torch.inf]


def test_a_nan_is_never_chosen() -> None:
    """Rewards are -1 to 0 and NaN beyond: whoever takes NaN for about 0 ends there."""
    task = ForbiddenPush(states=1, actions=1, limit=1.0)
    settings = PetsSettings(horizon=1, population=200, elites=20, particles=1)
    plan = PetsPlanner(task, drifting_members(0.0), settings, generator(), ManualClock()).plan(ORIGIN)
    assert -0.1 < plan.actions[0, 0] <= 0.0
    assert plan.value == pytest.approx(plan.actions[0, 0])


def test_a_state_that_is_not_finite_is_the_worst_though_its_reward_is_a_number() -> None:
    task = AnywhereButPast(states=1, actions=1)
    settings = PetsSettings(horizon=2, population=20, elites=2, particles=2)
    planner = PetsPlanner(task, drifting_members(0.0, float("nan")), settings, generator(), ManualClock())
    assert planner.plan(ORIGIN).value == -np.inf


def test_a_plan_without_any_finite_return_says_so() -> None:
    task = Hopeless(states=1, actions=1)
    settings = PetsSettings(horizon=2, population=20, elites=2, particles=1)
    plan = PetsPlanner(task, drifting_members(0.0), settings, generator(), ManualClock()).plan(ORIGIN)
    assert plan.value == -np.inf
    assert plan.actions.tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("propagation", ["TS1", "TSinf"])
def test_the_plan_is_close_to_the_linear_quadratic_optimum(propagation: str) -> None:
    task = QuadraticTask(states=2, actions=1)
    ensemble = linear_members([DOUBLE_INTEGRATOR] * 2)
    settings = PetsSettings.model_validate({"horizon": 8, "particles": 2, "propagation": propagation})
    planner = PetsPlanner(task, ensemble, settings, generator(), ManualClock())
    state = np.array([0.5, -0.2], np.float32)
    cost, first = best_cost(DOUBLE_INTEGRATOR, state.astype(float), 8, task.effort)
    planner.plan(state, elapsed=0)
    plan = planner.plan(state, elapsed=0)
    assert cost - 1e-4 <= -plan.value <= 1.02 * cost
    assert plan.actions[0] == pytest.approx(first, abs=0.15)
    assert plan.disagreement == pytest.approx(np.zeros(8), abs=1e-6)


def test_the_plan_begins_after_the_pending_actions() -> None:
    """(0.5, -0.2) with forces 1 and -2: (0.48, -0.1), then (0.47, -0.3)."""
    task = QuadraticTask(states=2, actions=1)
    settings = PetsSettings(horizon=2, population=20, elites=2, particles=2)
    planner = PetsPlanner(task, linear_members([DOUBLE_INTEGRATOR] * 2), settings, generator(), ManualClock())
    pending = np.array([[1.0], [-2.0]], np.float32)
    plan = planner.plan(np.array([0.5, -0.2], np.float32), pending=pending)
    assert plan.states[0] == pytest.approx([0.47, -0.3])


def test_the_disagreement_of_a_step_is_the_ensembles() -> None:
    """Nets that move by 1 and 3 spread by 1 on either side of 2, in steps whose typical size is 4."""
    task = QuadraticTask(states=1, actions=1)
    ensemble = drifting_members(1.0, 3.0)
    ensemble.target_deviation = torch.tensor([4.0])
    settings = PetsSettings(horizon=3, population=20, elites=2, particles=2)
    plan = PetsPlanner(task, ensemble, settings, generator(), ManualClock()).plan(ORIGIN)
    assert plan.disagreement == pytest.approx([0.25] * 3)


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    task = QuadraticTask(states=1, actions=1)
    with pytest.raises(ConfigError, match=r"^particles = 3 for 2 nets that predict: give a multiple$"):
        drifting_planner(PetsSettings(particles=3), 1.0, 2.0)
    with pytest.raises(ConfigError, match=r"^ensemble of 3 inputs and 2 outputs: the task has 2 and 1"):
        PetsPlanner(task, linear_members([DOUBLE_INTEGRATOR]), PetsSettings(), generator(), ManualClock())
    planner = drifting_planner(PetsSettings(particles=2), 1.0, 2.0)
    with pytest.raises(ConfigError, match=r"^state of 1 numbers has shape \(2,\)"):
        planner.plan(np.zeros(2, np.float32))
    with pytest.raises(ConfigError, match="is not finite"):
        planner.plan(np.array([np.nan], np.float32))
    with pytest.raises(ConfigError, match=r"^pending actions \(k, 1\)"):
        planner.plan(ORIGIN, pending=np.zeros((1, 2), np.float32))
