"""What candidates cost: rewards, epistemic penalty and chance constraint by hand, NaN as the worst."""

import numpy as np
import pytest
import torch

from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.packed_ensemble import Kernel
from robot_mbrl.policies.rollouts import Outcome, Rollouts, RolloutSettings
from robot_mbrl.policies.task_model import LinearInputTask, TaskModel
from tests.policies.linear_problems import (
    DOUBLE_INTEGRATOR,
    AnywhereButPast,
    ForbiddenPush,
    QuadraticTask,
    drifting_members,
    linear_members,
)


def roll_out(
    task: TaskModel, ensemble: ProbabilisticEnsemble, actions: torch.Tensor, start: float = 0.0, **settings: object
) -> Outcome:
    numbers = RolloutSettings.model_validate({"kernel": "float32", "violation_weight": 0.0} | settings)
    rollouts = Rollouts(task, ensemble, numbers, torch.Generator().manual_seed(0))
    return rollouts(torch.full((task.states,), start), actions, rollouts.draw_noise(actions.shape[1]))


class LinearTask(QuadraticTask):
    """The same task with its inputs (s, u) = s (1, 0) + (0, u) made known."""

    def __init__(self) -> None:
        super().__init__(states=2, actions=1, wall=0.4)
        self.input_matrix = torch.eye(2, 3)

    def learned(self, state: torch.Tensor) -> torch.Tensor:
        return state

    def known_inputs(self, start: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        del start
        return torch.cat((torch.zeros(*actions.shape[:2], 2), actions), dim=-1)

    def states_along(self, start: torch.Tensor, known: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
        del start, known
        return learned


def line(**settings: float) -> QuadraticTask:
    return QuadraticTask(states=1, actions=1, **settings)


def test_each_particle_keeps_its_net_and_rewards_are_averaged() -> None:
    """Nets that move by +1 and -1 lead to ±1, then ±2: rewards -1 - 4; an action of 1 costs 0.1 a step."""
    actions = torch.tensor([0.0, 1.0])[:, None, None].expand(2, 2, 1)
    outcome = roll_out(line(), drifting_members(1.0, -1.0), actions)
    assert outcome.values.tolist() == pytest.approx([-5.0, -5.2], abs=1e-4)
    assert outcome.costs.tolist() == pytest.approx([5.0, 5.2], abs=1e-4)
    assert outcome.states.shape == (3, 2, 1)


def test_states_are_means_over_the_particles() -> None:
    outcome = roll_out(line(), drifting_members(1.0, 4.0), torch.zeros(1, 2, 1), start=1.0)
    assert outcome.states.flatten().tolist() == pytest.approx([1.0, 3.5, 6.0])


def test_only_the_elites_among_the_nets_predict() -> None:
    ensemble = drifting_members(1.0, 100.0, 3.0)
    ensemble.elites = torch.tensor([2, 0])
    outcome = roll_out(line(), ensemble, torch.zeros(1, 1, 1))
    assert outcome.states.flatten().tolist() == pytest.approx([0.0, 2.0])


def test_the_epistemic_penalty_is_the_spread_of_the_nets_in_typical_changes() -> None:
    """Nets 1 and 3 spread by 1 around 2; with 4 as the typical change a step loses 0.25 w."""
    ensemble = drifting_members(1.0, 3.0)
    ensemble.target_deviation = torch.tensor([4.0])
    outcome = roll_out(line(), ensemble, torch.zeros(1, 3, 1), epistemic_weight=10.0)
    assert (outcome.costs + outcome.values).item() == pytest.approx(3 * 0.25 * 10.0, rel=1e-4)


def test_noise_alone_is_no_epistemic_doubt() -> None:
    """Equal nets with noise of deviation 0.5 draw the same noise, so their spread is zero."""
    outcome = roll_out(line(), drifting_members(1.0, 1.0, deviation=0.5), torch.zeros(1, 3, 1), epistemic_weight=10.0)
    assert (outcome.costs + outcome.values).item() == pytest.approx(0.0, abs=1e-4)
    assert outcome.states[1].item() != pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("task", [QuadraticTask(states=2, actions=1), LinearTask()], ids=["steps", "one go"])
def test_nets_that_expect_the_same_do_not_differ_however_noisy_each_is(task: TaskModel) -> None:
    ensemble = linear_members([np.zeros((3, 2))] * 2, deviation=0.1)
    with torch.no_grad():
        ensemble.biases[0][1, :, 2:] += 2.0 * float(np.log(10.0))
    outcome = roll_out(task, ensemble, torch.zeros(1, 1, 1), epistemic_weight=10.0)
    assert (outcome.costs + outcome.values).item() == pytest.approx(0.0, abs=1e-5)
    # Noise of 0.1 and of 1 took them to different places all the same.
    assert outcome.states[1].abs().max() > 0.01


def test_the_first_steps_penalty_is_the_ensembles_disagreement() -> None:
    ensemble = linear_members([DOUBLE_INTEGRATOR, 1.5 * DOUBLE_INTEGRATOR, -DOUBLE_INTEGRATOR])
    ensemble.target_deviation = torch.tensor([0.2, 0.7])
    task = QuadraticTask(states=2, actions=1)
    outcome = roll_out(task, ensemble, torch.ones(1, 1, 1), start=0.3, epistemic_weight=1.0)
    told = ensemble.disagreement(ensemble.predict(torch.tensor([[0.3, 0.3, 1.0]])))
    assert (outcome.costs + outcome.values).item() == pytest.approx(told.item(), rel=1e-4)


@pytest.mark.parametrize(("chance", "excess"), [(0.0, 0.5 + 1.0), (0.25, 0.25 + 0.75), (0.5, 0.0 + 0.5), (1.0, 0.0)])
def test_the_chance_constraint_counts_particles_past_a_limit(chance: float, excess: float) -> None:
    """Nets that move by 1 and 2 pass a wall at 1.5 with one particle after the first step, both after the second."""
    outcome = roll_out(
        line(wall=1.5),
        drifting_members(1.0, 2.0),
        torch.zeros(1, 2, 1),
        violation_weight=100.0,
        violation_chance=chance,
    )
    assert (outcome.costs + outcome.values).item() == pytest.approx(100.0 * excess, rel=1e-4)


def test_a_nan_is_the_worst_and_touches_no_other_candidate() -> None:
    actions = torch.tensor([-1.0, 0.5, 0.0])[:, None, None]
    outcome = roll_out(ForbiddenPush(states=1, actions=1), drifting_members(0.0), actions)
    assert outcome.costs.tolist() == pytest.approx([1.0, torch.inf, 0.0])
    assert outcome.values.tolist() == pytest.approx([-1.0, -torch.inf, 0.0])


class Jackpot(QuadraticTask):
    """An infinite reward for a positive action, which no planner should believe."""

    def reward(self, state: torch.Tensor, action: torch.Tensor, next_state: torch.Tensor) -> torch.Tensor:
        return torch.where(action[..., 0] > 0.0, torch.inf, super().reward(state, action, next_state))


def test_an_infinite_reward_is_the_worst_too() -> None:
    outcome = roll_out(Jackpot(states=1, actions=1), drifting_members(0.0), torch.ones(1, 1, 1))
    assert outcome.costs.tolist() == [torch.inf]


def test_a_net_that_is_not_finite_spoils_every_candidate() -> None:
    outcome = roll_out(line(), drifting_members(0.0, float("nan")), torch.zeros(2, 1, 1))
    assert outcome.costs.tolist() == [torch.inf, torch.inf]


def test_a_state_that_is_not_finite_is_the_worst_though_its_reward_is_a_number() -> None:
    task, actions = AnywhereButPast(states=1, actions=1), torch.zeros(2, 2, 1)
    assert roll_out(task, drifting_members(0.0, 0.0), actions).costs.tolist() == [-2.0, -2.0]
    lost = roll_out(task, drifting_members(0.0, float("nan")), actions)
    assert lost.costs.tolist() == [torch.inf, torch.inf]
    assert lost.values.tolist() == [-torch.inf, -torch.inf]


@pytest.mark.parametrize("rows", [1, 3, 16, 1000])
@pytest.mark.parametrize("threads", [1, 2, 30])
@pytest.mark.parametrize("task", [QuadraticTask(states=2, actions=1, wall=0.4), LinearTask()], ids=["steps", "one go"])
def test_blocks_and_threads_change_nothing(task: TaskModel, rows: int, threads: int) -> None:
    ensemble = linear_members([DOUBLE_INTEGRATOR, 1.5 * DOUBLE_INTEGRATOR], deviation=0.1)
    actions = torch.randn(23, 4, 1, generator=torch.Generator().manual_seed(1))
    risk = {"epistemic_weight": 1.0, "violation_weight": 1.0, "particles_per_net": 2}
    whole = roll_out(task, ensemble, actions, rows=1000, threads=1, **risk)
    split = roll_out(task, ensemble, actions, rows=rows, threads=threads, **risk)
    for one, other in zip(whole, split, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(("kernel", "tolerance"), [("float32", 1e-5), ("auto", 0.02)])
def test_a_task_of_linear_inputs_costs_the_same_in_one_go_as_step_by_step(kernel: Kernel, tolerance: float) -> None:
    by_step, in_one_go = QuadraticTask(states=2, actions=1, wall=0.4), LinearTask()
    assert isinstance(in_one_go, LinearInputTask)
    assert not isinstance(by_step, LinearInputTask)
    ensemble = linear_members([DOUBLE_INTEGRATOR, 1.5 * DOUBLE_INTEGRATOR], deviation=0.1)
    actions = torch.randn(23, 4, 1, generator=torch.Generator().manual_seed(1))
    risk = {"epistemic_weight": 1.0, "violation_weight": 1.0, "particles_per_net": 2, "kernel": kernel}
    outcomes = [roll_out(task, ensemble, actions, 0.3, rows=16, **risk) for task in (by_step, in_one_go)]
    for one, other in zip(*outcomes, strict=True):
        assert torch.allclose(one, other, atol=tolerance)


def test_equal_candidates_meet_equal_noise() -> None:
    outcome = roll_out(line(), drifting_members(0.0, deviation=1.0), torch.zeros(9, 3, 1), rows=4)
    assert outcome.values.tolist() == pytest.approx([outcome.values[0].item()] * 9, rel=1e-6)
    assert outcome.values[0].item() < 0.0


def test_noise_has_the_deviation_that_the_nets_predict() -> None:
    """One step from 0 with deviation 0.5: the mean of -s² over many particles is -0.25."""
    outcome = roll_out(line(), drifting_members(0.0, deviation=0.5), torch.zeros(1, 1, 1), particles_per_net=50_000)
    assert outcome.values.item() == pytest.approx(-0.25, abs=0.01)


def test_refresh_takes_over_the_present_weights() -> None:
    ensemble = drifting_members(1.0)
    rollouts = Rollouts(line(), ensemble, RolloutSettings(kernel="float32"), torch.Generator())
    with torch.no_grad():
        ensemble.biases[0][0, 0, 0] = 2.0
    start, actions, noise = torch.zeros(1), torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1, 1)
    assert rollouts(start, actions, noise).values.item() == pytest.approx(-1.0)
    rollouts.refresh()
    assert rollouts(start, actions, noise).values.item() == pytest.approx(-4.0)
