"""Dreamer's networks: the block GRU against NumPy, how weights start, what a reset forgets, what chance decides."""

import numpy as np
import pytest
import torch

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies import dreamer_losses as losses
from robot_mbrl.policies.dreamer_doubt import LatentDoubt
from robot_mbrl.policies.dreamer_layers import BlockDense, Dense, RmsNorm, TwoHotMlp
from robot_mbrl.policies.dreamer_model import ActingNoise, DreamerModel, LatentState, RecurrentModel
from robot_mbrl.policies.dreamer_sampling import NormalActions, action_distribution, one_hot_choice, straight_through
from robot_mbrl.policies.dreamer_scan import scan, scan_steps
from robot_mbrl.policies.dreamer_settings import DreamerSettings, DreamerSpaces, dreamer_settings
from tests.policies import dreamer_numpy as reference
from tests.policies.small_dreamer import SETTINGS, SPACES, generator


def test_the_block_gru_agrees_with_numpy() -> None:
    dynamics = RecurrentModel(7, 2, SETTINGS, generator()).double()
    with torch.no_grad():
        for parameter in dynamics.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator(2)))
    weights = {name: value.detach().numpy() for name, value in dynamics.named_parameters()}
    random = np.random.default_rng(0)
    deter, stoch = random.normal(size=(5, SETTINGS.deter)), random.normal(size=(5, SETTINGS.stoch))
    action = random.normal(0.0, 2.0, (5, 2))
    assert (np.abs(action) > 1.0).any()
    # RMSNorm computes in float32 inside, hence the tolerance.
    found = dynamics.advance(torch.tensor(deter), torch.tensor(stoch), dynamics.drive(torch.tensor(action)))
    wanted = reference.block_gru(weights, deter, stoch, action, SETTINGS.blocks)
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_rms_norm_by_hand() -> None:
    norm = RmsNorm(2)
    torch.testing.assert_close(norm(torch.tensor([3.0, 4.0])), torch.tensor([3.0, 4.0]) / (12.5 + 1e-4) ** 0.5)


@pytest.mark.parametrize(
    ("weight", "fan_in"),
    [
        (Dense(400, 300, generator()).weight, 400),
        (BlockDense(8, 64, 192, 64, generator()).weight, 8 * 256),
    ],
)
def test_weights_start_with_the_fan_in_of_the_whole_layer(weight: torch.Tensor, fan_in: int) -> None:
    deviation = fan_in**-0.5
    assert weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert weight.abs().max().item() <= 2.0 * 1.1368 * deviation * (1.0 + 1e-6)


def test_logits_of_a_two_hot_head_have_the_order_of_the_bins() -> None:
    head = TwoHotMlp(2, 3, 1, 5, generator())
    with torch.no_grad():
        head.output.bias.copy_(torch.tensor([-20.0, -10.0, 0.0, 10.0, 20.0]))
    assert head(torch.zeros(1, 2)).tolist() == [[0.0, 10.0, 20.0, -10.0, -20.0]]
    assert losses.symlog(losses.symexp_bins(5)).round().tolist() == [0.0, 10.0, 20.0, -10.0, -20.0]


def test_the_smallest_published_size_has_the_layers_of_the_paper() -> None:
    def mlp(inputs: int, layers: int, outputs: int, units: int = 64) -> int:
        hidden = units * (inputs + 2) + (layers - 1) * units * (units + 2)
        return hidden + outputs * (units + 1)

    features = 512 + 32 * 4
    gru = 64 * (512 + 128 + 2 + 3 * 2) + 8 * 64 * (64 + 3 * 64) + 2 * 512 + 8 * 192 * 64 + 3 * 512
    posterior = mlp(512 + 64, 1, 128)
    prior = mlp(512, 2, 128)
    encoder = 64 * (6 + 2) + 2 * 64 * (64 + 2)
    heads = mlp(features, 3, 6) + mlp(features, 1, 255) + mlp(features, 1, 1)
    behaviour = mlp(features, 3, 2 * 2) + mlp(features, 3, 255)
    model = DreamerModel(DreamerSpaces(vector=6, actions=2), dreamer_settings("1M"), generator())
    learned = {name: value.numel() for name, value in model.named_parameters() if value.requires_grad}
    doubt = sum(count for name, count in learned.items() if name.startswith("world.doubt"))
    assert sum(learned.values()) - doubt == gru + posterior + prior + encoder + heads + behaviour


def test_the_size_and_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="'3M': give one of 1M, 12M, 25M"):
        dreamer_settings("3M")
    with pytest.raises(ValueError, match="not divisible by blocks"):
        DreamerSettings(deter=10, blocks=4)
    with pytest.raises(ValueError, match="nothing to observe"):
        DreamerSpaces(actions=1)


@pytest.mark.parametrize("discrete", [False, True])
def test_a_reset_forgets_state_and_previous_action(discrete: bool) -> None:
    spaces = SPACES.model_copy(update={"discrete": discrete})
    model = DreamerModel(spaces, SETTINGS, generator())
    observation = torch.randn((2, 5), generator=generator(3))
    state = LatentState(torch.ones(2, SETTINGS.deter), torch.ones(2, SETTINGS.stoch))
    new = model.step(state, observation, torch.ones(2, 2), torch.tensor([True, False]))
    fresh = model.step(model.initial(2), observation, torch.zeros(2, 2), torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(new.action[0], fresh.action[0])
    torch.testing.assert_close(new.state.deter[0], fresh.state.deter[0])
    assert not torch.allclose(new.state.deter[1], fresh.state.deter[1])


def test_a_reset_forgets_what_is_not_finite() -> None:
    """One observation that is no number spoils its episode and no other: zero times it would not be zero."""
    model = DreamerModel(SPACES, SETTINGS, generator())
    observation = torch.randn((3, 5), generator=generator(3))
    spoilt = model.step(model.initial(3), observation * torch.nan, torch.zeros(3, 2), torch.ones(3))
    spoilt = model.step(spoilt.state, observation, spoilt.action, torch.zeros(3))
    assert torch.cat(spoilt.state, -1).isnan().all()
    infinite = torch.full((3, 2), torch.inf)
    new = model.step(spoilt.state, observation, infinite, torch.ones(3))
    fresh = model.step(model.initial(3), observation, torch.zeros(3, 2), torch.ones(3))
    for found, wanted in zip((new.action, *new.state), (fresh.action, *fresh.state), strict=True):
        assert torch.equal(found, wanted)


def test_a_scan_forgets_what_is_not_finite_where_an_episode_begins() -> None:
    dynamics, random = RecurrentModel(7, 2, SETTINGS, generator()), generator(4)
    keep = torch.ones(3, 2, 1)
    keep[0] = 0.0
    drive = torch.randn((3, 2, SETTINGS.deter), generator=random).requires_grad_()
    evidence = torch.randn((3, 2, SETTINGS.hidden), generator=random).requires_grad_()
    noise = torch.rand((3, 2, SETTINGS.latents), generator=random)
    found = []
    for value in (0.0, torch.nan):
        start = LatentState(torch.full((2, SETTINGS.deter), value), torch.full((2, SETTINGS.stoch), value))
        states, _ = scan(scan_steps(dynamics), start, keep, drive, evidence, noise)
        found.append([*states, *torch.autograd.grad(states.deter.sum(), [drive, evidence])])
    assert all(torch.equal(clean, spoilt) for clean, spoilt in zip(*found, strict=True))


def test_a_step_without_chance_repeats_itself_and_with_chance_follows_it() -> None:
    model = DreamerModel(SPACES, SETTINGS, generator())
    arguments = (model.initial(4), torch.ones(4, 5), torch.zeros(4, 2), torch.ones(4))
    sure, again = model.step(*arguments), model.step(*arguments)
    assert torch.equal(sure.action, again.action)
    assert torch.equal(sure.state.stoch, again.state.stoch)
    assert sure.action.abs().max() <= 1.0
    noise = model.acting_noise(4, generator(5))
    drawn = model.step(*arguments, noise)
    pushed = model.step(*arguments, ActingNoise(noise.latent, noise.action + 1.0))
    assert torch.equal(pushed.state.stoch, drawn.state.stoch)
    assert (pushed.action > drawn.action).all()
    assert sure.value.shape == sure.doubt.shape == (4,)
    assert sure.value.abs().max() == 0.0, "critics start at zero"
    assert (sure.doubt > 0.0).all()


def test_latents_are_one_hot_with_the_gradient_of_their_probabilities() -> None:
    probabilities = torch.tensor([[0.2, 0.5, 0.3]], requires_grad=True)
    for uniform, index in ((0.0, 0), (0.199, 0), (0.201, 1), (0.699, 1), (0.701, 2), (0.99999994, 2)):
        choice = one_hot_choice(probabilities.detach(), torch.tensor([uniform]))
        assert choice.tolist() == [[float(index == k) for k in range(3)]]
    choice = straight_through(one_hot_choice(probabilities.detach(), None), probabilities)
    assert choice.tolist() == [[0.0, 1.0, 0.0]]
    gradient = torch.autograd.grad((choice * torch.tensor([1.0, 2.0, 3.0])).sum(), probabilities)[0]
    assert gradient.tolist() == [[1.0, 2.0, 3.0]]


def test_choices_follow_their_probabilities() -> None:
    wanted = torch.tensor([0.1, 0.2, 0.3, 0.4])
    uniform = torch.rand(40_000, generator=generator())
    found = one_hot_choice(wanted.expand(40_000, 4), uniform).mean(0)
    torch.testing.assert_close(found, wanted, atol=0.01, rtol=0.0)


def test_continuous_actions_have_bounded_mean_and_deviation() -> None:
    outputs = torch.tensor([[0.0, 50.0, -2.0, 50.0], [1.0, -50.0, -50.0, 0.0]])
    actions = action_distribution(outputs, SPACES, SETTINGS)
    assert isinstance(actions, NormalActions)
    torch.testing.assert_close(actions.mean, torch.tensor([[0.0, 1.0], [0.7615942, -1.0]]))
    torch.testing.assert_close(actions.deviation, torch.tensor([[0.55, 1.0], [0.1, 0.1 + 0.9 * 0.8807971]]))


def test_discrete_actions_have_the_uniform_share() -> None:
    spaces = DreamerSpaces(vector=1, actions=4, discrete=True)
    actions = action_distribution(torch.tensor([[99.0, 0.0, 0.0, 0.0]]), spaces, SETTINGS)
    one_hot = torch.eye(4)
    likely = torch.stack([actions.log_probability(row[None])[0] for row in one_hot]).exp()
    torch.testing.assert_close(likely, torch.tensor([0.9925, 0.0025, 0.0025, 0.0025]))
    assert actions.entropy().item() == pytest.approx(-(likely * likely.log()).sum().item(), rel=1e-5)
    assert actions.choose(None).tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert actions.choose(torch.tensor([[0.999]])).tolist() == [[0.0, 0.0, 0.0, 1.0]]


def test_the_scan_has_the_values_and_gradients_of_a_plain_loop() -> None:
    dynamics = RecurrentModel(7, 2, SETTINGS, generator())
    steps, rows = 5, 3
    random = generator(4)
    keep = torch.ones(steps, rows, 1)
    keep[2, 1] = 0.0
    drive = torch.randn((steps, rows, SETTINGS.deter), generator=random).requires_grad_()
    evidence = torch.randn((steps, rows, SETTINGS.hidden), generator=random).requires_grad_()
    noise = torch.rand((steps, rows, SETTINGS.latents), generator=random)
    start = LatentState(torch.randn((rows, SETTINGS.deter), generator=random), torch.zeros(rows, SETTINGS.stoch))
    parts = scan_steps(dynamics)
    wanted = [drive, evidence, *parts.parameters]

    state, looped = start, []
    for inputs in zip(keep, drive, evidence, noise, strict=True):
        state, logs = dynamics.observe(state, *inputs)
        looped.append((*state, logs))
    plain = [torch.stack(values) for values in zip(*looped, strict=True)]
    states, logs = scan(parts, start, keep, drive, evidence, noise)
    weights = [torch.randn(value.shape, generator=random) for value in plain]
    gradients = []
    for values in (plain, [*states, logs]):
        total = sum((value * weight).sum() for value, weight in zip(values, weights, strict=True))
        assert isinstance(total, torch.Tensor)
        gradients.append(torch.autograd.grad(total, wanted))
    for found, known in zip([*states, logs, *gradients[1]], [*plain, *gradients[0]], strict=True):
        torch.testing.assert_close(found, known, rtol=1e-4, atol=1e-5)
    unused = dict(dynamics.named_parameters()).keys() - {
        name for name, value in dynamics.named_parameters() if any(value is used for used in parts.parameters)
    }
    assert all(name.startswith(("action_in", "prior_mlp")) for name in unused)


def test_doubt_is_the_spread_of_the_members() -> None:
    doubt = LatentDoubt(2, 3, 1, 4, 2, generator())
    with torch.no_grad():
        doubt.output.weight.zero_()
        doubt.output.bias.copy_(torch.tensor([[[0.0, 1.0]], [[0.6, 0.2]]]))
    features, action = torch.randn(5, 3), torch.randn(5, 1)
    variance = ((0.3**2) + (0.4**2)) / 2.0
    torch.testing.assert_close(doubt.disagreement(features, action), torch.full((5,), variance**0.5))
    errors = doubt.loss(features, action, torch.tensor([[0.0, 0.0]]).expand(5, 2))
    torch.testing.assert_close(errors, torch.full((5,), (1.0 + (0.36 + 0.04)) / 2.0))
