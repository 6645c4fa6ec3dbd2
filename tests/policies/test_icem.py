"""iCEM: noise, schedule and update, each by hand, in the terms of its paper."""

import pytest
import torch

from robot_mbrl.policies.icem import Icem, IcemSettings, colour_filter, population, shifted

LOW, HIGH = torch.tensor([-1.0]), torch.tensor([3.0])


def icem(horizon: int = 4, **settings: object) -> Icem:
    numbers = IcemSettings.model_validate({"population": 20, "elites": 5} | settings)
    return Icem(numbers, horizon, LOW, HIGH, torch.Generator().manual_seed(0))


def constant(*values: float, horizon: int = 4) -> torch.Tensor:
    """Sequences (n, h, 1) of one action each."""
    return torch.tensor(values)[:, None, None].expand(-1, horizon, 1).clone()


def test_the_population_decays_as_published() -> None:
    settings = IcemSettings(population=40, decay=1.25, elites=10)
    assert [population(settings, i) for i in range(3)] == [40, 32, 25]


def test_the_population_stays_at_twice_the_elites() -> None:
    settings = IcemSettings(population=40, decay=1.25, elites=10)
    assert [population(settings, i) for i in (3, 4, 9)] == [20, 20, 20]


def test_white_noise_passes_the_filter_as_it_is() -> None:
    assert torch.allclose(colour_filter(7, 0.0), torch.eye(7), atol=1e-6)


@pytest.mark.parametrize("steps", [8, 9])
@pytest.mark.parametrize("colour", [1.0, 2.5])
def test_the_noise_has_variance_one_and_power_that_falls_with_frequency(steps: int, colour: float) -> None:
    """The covariance of `white @ F` is FᵀF, the power at frequency k is the diagonal of its Fourier transform."""
    filter_ = colour_filter(steps, colour).double()
    covariance = filter_.T @ filter_
    assert covariance.diagonal().tolist() == pytest.approx([1.0] * steps, abs=1e-6)
    waves = torch.fft.fft(torch.eye(steps, dtype=torch.complex128), norm="ortho")
    power = (waves @ covariance.to(torch.complex128) @ waves.conj().T).diagonal().real
    highest = steps // 2
    expected = [float(max(k, 1)) ** -colour for k in range(highest + 1)]
    assert (power[: highest + 1] / power[1]).tolist() == pytest.approx(expected, rel=1e-4)


def test_a_sequence_of_one_step_has_noise_of_variance_one() -> None:
    assert colour_filter(1, 2.5).tolist() == [[pytest.approx(1.0)]]


def test_the_first_candidates_lie_around_the_middle_with_the_given_deviation() -> None:
    optimizer = icem(population=4000, deviation=0.25)
    optimizer.begin(1)
    candidates = optimizer.propose(0)
    assert candidates.shape == (4000, 4, 1)
    assert candidates.mean().item() == pytest.approx(1.0, abs=0.03)
    assert candidates.std().item() == pytest.approx(0.25 * 2.0, rel=0.05)


def test_candidates_are_clipped_at_the_bounds_and_reach_them() -> None:
    """A normal of deviation 2 around the middle of a range of ±2 has 16 % of its draws past each bound."""
    optimizer = icem(population=4000, deviation=1.0, colour=0.0)
    optimizer.begin(1)
    candidates = optimizer.propose(0)
    assert candidates.min().item() == -1.0
    assert candidates.max().item() == 3.0
    assert (candidates == 3.0).float().mean().item() == pytest.approx(0.1587, abs=0.01)


def test_mean_and_deviation_move_to_the_elites() -> None:
    """Elites 0 and 2: mean 0.1 * 1 + 0.9 * 1, then with 2 and 3: 0.1 * 1 + 0.9 * 2.5; the last draws have std 0.545."""
    optimizer = icem(elites=2, momentum=0.1, deviation=0.5, population=20_000, kept=0.0, colour=0.0)
    optimizer.begin(1)
    optimizer.update(constant(0.0, 2.0, -1.0), torch.tensor([1.0, 2.0, 3.0]))
    assert optimizer.mean.tolist() == [[pytest.approx(1.0)]] * 4
    optimizer.update(constant(2.0, 3.0, -1.0), torch.tensor([1.0, 2.0, 3.0]))
    assert optimizer.mean.tolist() == [[pytest.approx(2.35)]] * 4
    # 0.1 * (0.1 * 1 + 0.9 * 1) + 0.9 * 0.5 = 0.55, and clipping at 3 takes little from the side below the mean.
    drawn = optimizer.propose(0)
    below = 2.35 - drawn[drawn < 2.35]
    assert below.square().mean().sqrt().item() == pytest.approx(0.55, rel=0.02)


def test_the_best_elites_are_kept_for_the_next_iteration() -> None:
    optimizer = icem(elites=10, kept=0.3)
    optimizer.begin(1)
    costs = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0])
    optimizer.update(constant(0.5, 0.1, 0.4, 0.2, 0.3), costs)
    proposed = optimizer.propose(1)
    assert len(proposed) == population(IcemSettings(population=20, elites=10), 1) + 3
    assert proposed[-3:, :, 0].tolist() == [[pytest.approx(value)] * 4 for value in (0.1, 0.2, 0.3)]


def test_the_best_elites_of_the_last_step_are_shifted_and_end_anew() -> None:
    optimizer = icem(elites=10, kept=0.1)
    optimizer.begin(1)
    sequence = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(1, 4, 1)
    optimizer.update(torch.cat((constant(2.0), sequence)), torch.tensor([9.0, 1.0]))
    optimizer.begin(2)
    kept = optimizer.propose(0)[-1, :, 0].tolist()
    assert kept[:2] == pytest.approx([0.3, 0.4])
    assert kept[2] != kept[3]


def test_actions_are_shifted_and_followed_by_a_tail() -> None:
    actions, tail = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[9.0]])
    assert shifted(actions, 1, tail).tolist() == [[2.0], [3.0], [9.0]]
    assert shifted(actions, 0, tail).tolist() == [[1.0], [2.0], [3.0]]
    assert shifted(actions, 7, tail).tolist() == [[9.0]] * 3


@pytest.mark.parametrize(("tail", "end"), [("last", 0.4), ("rest", 1.0)])
def test_a_plan_goes_on_with_its_last_action_or_rests_in_the_middle_of_the_range(tail: str, end: float) -> None:
    optimizer = icem(elites=1, momentum=0.0, tail=tail)
    optimizer.begin(1)
    optimizer.update(torch.tensor([0.1, 0.2, 0.3, 0.4]).view(1, 4, 1), torch.zeros(1))
    optimizer.begin(3)
    assert optimizer.mean.flatten().tolist() == pytest.approx([0.4, end, end, end])


def test_a_new_plan_begins_with_the_shifted_mean_and_the_first_deviation() -> None:
    optimizer = icem(population=4000, elites=1, momentum=0.0, deviation=0.25, kept=0.0)
    optimizer.begin(1)
    optimizer.update(torch.tensor([0.0, 1.0, 2.0, 0.5]).view(1, 4, 1), torch.tensor([1.0]))
    optimizer.begin(1)
    assert optimizer.mean[:, 0].tolist() == [1.0, 2.0, 0.5, 0.5]
    assert optimizer.propose(0)[:, 0].std().item() == pytest.approx(0.5, rel=0.05)


def test_a_plan_that_goes_on_from_a_last_one_may_begin_with_a_smaller_deviation() -> None:
    optimizer = icem(population=4000, deviation=0.25, warm_deviation=0.1, kept=0.0)
    deviations = []
    for _ in range(2):
        optimizer.begin(1)
        deviations.append((optimizer.propose(0) - optimizer.mean).std().item())
    optimizer.reset()
    optimizer.begin(1)
    deviations.append((optimizer.propose(0) - optimizer.mean).std().item())
    assert deviations == pytest.approx([0.5, 0.2, 0.5], rel=0.05)


def test_the_first_plan_of_an_episode_may_have_more_iterations() -> None:
    optimizer = icem(iterations=3, cold_iterations=7, kept=0.0)
    iterations = []
    for _ in range(2):
        optimizer.begin(1)
        iterations.append(optimizer.iterations)
    optimizer.reset()
    optimizer.begin(1)
    assert [*iterations, optimizer.iterations] == [7, 3, 7]
    assert not bool((optimizer.propose(2) == optimizer.mean).all(dim=(1, 2)).any())
    assert bool((optimizer.propose(6) == optimizer.mean).all(dim=(1, 2)).any())


def test_only_the_last_iteration_tries_the_mean_itself() -> None:
    optimizer = icem(iterations=2, kept=0.0)
    optimizer.begin(1)
    assert not bool((optimizer.propose(0) == optimizer.mean).all(dim=(1, 2)).any())
    assert bool((optimizer.propose(1) == optimizer.mean).all(dim=(1, 2)).any())


def test_candidates_of_infinite_cost_are_never_elites() -> None:
    optimizer = icem(elites=5, momentum=0.0)
    optimizer.begin(1)
    optimizer.update(constant(0.0, 1.0, 3.0), torch.tensor([1.0, 1.0, torch.inf]))
    assert optimizer.mean.flatten().tolist() == [0.5] * 4
    optimizer.update(constant(3.0, 3.0), torch.tensor([torch.inf, torch.inf]))
    assert optimizer.mean.flatten().tolist() == [0.5] * 4
    assert len(optimizer.propose(1)) == 16


def test_reset_forgets_mean_and_elites() -> None:
    optimizer = icem()
    optimizer.begin(1)
    optimizer.update(constant(3.0), torch.tensor([1.0]))
    optimizer.reset()
    optimizer.begin(1)
    assert optimizer.mean.flatten().tolist() == [1.0] * 4
    assert len(optimizer.propose(0)) == 20


def test_scouts_hold_one_action_of_the_whole_range_for_a_while_and_then_rest() -> None:
    """Range -1 to 3, so that they rest at 1; 0.001 is the spread of all other candidates."""
    search = icem(horizon=5, population=400, scouts=300, deviation=0.0005)
    search.begin(1)
    candidates = search.propose(0)
    assert candidates.shape == (400, 5, 1)
    others = candidates[300:]
    assert (others - 1.0).abs().max() < 0.01
    scouts = candidates[:300, :, 0]
    moving = scouts != 1.0
    lengths = moving.sum(1)
    assert sorted(set(lengths.tolist())) == [1, 2, 3, 4, 5]
    for scout, length in zip(scouts, lengths.tolist(), strict=True):
        assert (scout[:length] == scout[0]).all()
    # Of 300 draws from a range of 4, the outermost lie within 0.1 of its ends but for one chance in 2000.
    assert -1.0 <= scouts.min() < -0.9
    assert 2.9 < scouts.max() <= 3.0


def test_scouts_are_sent_once_a_plan() -> None:
    search = icem(population=40, scouts=20, deviation=0.0005)
    search.begin(1)
    search.update(constant(1.0, 1.0), torch.zeros(2))
    assert (search.propose(1) - 1.0).abs().max() < 0.01


def test_scouts_find_the_way_out_of_a_hollow() -> None:
    """The cost of a plan's mean action x is (x + 0.5)², but around 2.5, far from where that leads, it is below -0.9."""

    def cost(candidates: torch.Tensor) -> torch.Tensor:
        x = candidates.mean(dim=(1, 2))
        far = (x - 2.5).square()
        return torch.where(far < 0.1, far - 1.0, (x + 0.5).square())

    def least(scouts: int) -> float:
        search = icem(scouts=scouts, deviation=0.1)
        for _ in range(60):
            search.begin(1)
            for iteration in range(3):
                candidates = search.propose(iteration)
                costs = cost(candidates)
                search.update(candidates, costs)
        return float(costs.min())

    assert least(scouts=0) == pytest.approx(0.0, abs=0.01)
    assert least(scouts=10) < -0.9


def test_more_scouts_than_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="scouts = 21 of a population of 20: give fewer"):
        IcemSettings(population=20, elites=5, scouts=21)


def test_more_elites_than_half_the_population_are_refused() -> None:
    with pytest.raises(ValueError, match="elites = 11 of a population of 20"):
        IcemSettings(population=20, elites=11)
