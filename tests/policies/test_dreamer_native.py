"""Dreamer's native steps follow the model's own."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.dreamer import Dreamer
from robot_mbrl.policies.dreamer_model import DreamerModel, LatentState, kept
from robot_mbrl.policies.dreamer_native import KERNEL, NativeSteps, native_reason_for
from robot_mbrl.policies.dreamer_native_scan import NativeScan
from robot_mbrl.policies.dreamer_sampling import one_hot_choice
from robot_mbrl.policies.dreamer_scan import ScanSteps, scan, scan_steps
from robot_mbrl.policies.dreamer_settings import DreamerSettings, DreamerSpaces
from robot_mbrl.policies.native_library import native_reason

needs_native = pytest.mark.skipif(bool(native_reason(KERNEL)), reason=native_reason(KERNEL))

SPACES = DreamerSpaces(vector=7, actions=6)
SMALL = DreamerSettings(deter=128, hidden=32, latents=12, classes=8, blocks=8, units=64, layers=2, imagination=4)
WIDE = DreamerSettings(deter=512, hidden=64, latents=32, classes=4, blocks=8, units=64, layers=3, imagination=3)


def random_model(settings: DreamerSettings, spaces: DreamerSpaces = SPACES) -> DreamerModel:
    """Weights far from where they begin: no bias is 0, no gain 1, and the actor's output says something."""
    generator = torch.Generator().manual_seed(0)
    model = DreamerModel(spaces, settings, generator)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("bias", "gain")):
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
        model.behaviour.actor.output.weight.mul_(50.0)
    return model


def chance_for(settings: DreamerSettings, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features, latent noise, and noise of the actions."""
    generator = torch.Generator().manual_seed(1)
    deter = torch.randn(rows, settings.deter, generator=generator).tanh()
    classes = torch.randint(settings.classes, (rows, settings.latents), generator=generator)
    stoch = torch.nn.functional.one_hot(classes, settings.classes).flatten(1).float()
    latent = torch.rand(settings.imagination, rows, settings.latents, generator=generator)
    return torch.cat([deter, stoch], -1), latent, torch.randn(settings.imagination + 1, rows, 6, generator=generator)


@torch.no_grad()
def step_in_float32(model: DreamerModel, features: Tensor, latent: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
    """The action at `features` and the features that follow, as the model itself computes them."""
    settings, dynamics = model.settings, model.world.dynamics
    action = model.behaviour.policy(features).choose(chance)
    deter, stoch = torch.split(features, [settings.deter, settings.stoch], -1)
    return action, torch.cat(dynamics.imagine(LatentState(deter, stoch), dynamics.drive(action), latent), -1)


@needs_native
@pytest.mark.parametrize("rows", [1, 15, 48, 100])
@pytest.mark.parametrize("settings", [SMALL, WIDE], ids=["small", "wide"])
def test_each_imagined_step_is_the_models_own(settings: DreamerSettings, rows: int) -> None:
    """Step by step from what the kernel imagined: so no difference grows. bfloat16 tells 4e-3 apart.

    A latent may fall into the neighbouring class where chance and probabilities are as near as that.
    """
    model = random_model(settings)
    features, latent, chance = chance_for(settings, rows)
    native = NativeSteps(model)
    native.take_over()
    visited, actions = native.imagine(features, latent, chance)
    assert visited.shape == (settings.imagination + 1, rows, settings.deter + settings.stoch)
    assert torch.equal(visited[0], features.bfloat16())
    drawn = torch.cat([one_hot.flatten() for one_hot in visited[..., settings.deter :]])
    assert set(drawn.tolist()) == {0.0, 1.0}
    for step in range(settings.imagination):
        action, following = step_in_float32(model, visited[step].float(), latent[step], chance[step])
        assert (actions[step] - action).abs().max() < 0.05
        assert (actions[step] - action).abs().mean() < 0.01
        h, z = torch.split(following, [settings.deter, settings.stoch], -1)
        deter, stoch = torch.split(visited[step + 1].float(), [settings.deter, settings.stoch], -1)
        assert (deter - h).abs().max() < 0.05
        assert (deter - h).abs().mean() < 0.004
        assert (stoch != z).float().mean() < 0.02
    last, _ = step_in_float32(model, visited[-1].float(), latent[-1], chance[-1])
    assert (actions[-1] - last).abs().max() < 0.05


class Sequences:
    """What a scan of some rows takes; two episodes begin within it."""

    def __init__(self, model: DreamerModel, rows: int, steps: int = 5) -> None:
        settings, dynamics, generator = model.settings, model.world.dynamics, torch.Generator().manual_seed(4)
        self.keep = torch.ones(steps, rows, 1)
        self.keep[2, 0], self.keep[0] = 0.0, 0.0
        action = torch.randn(steps, rows, 6, generator=generator)
        with torch.no_grad():
            self.drive = dynamics.drive(kept(action, self.keep)).requires_grad_()
            tokens = torch.randn(steps, rows, model.world.encoder.width, generator=generator)
            self.evidence = dynamics.evidence(tokens).requires_grad_()
        self.noise = torch.rand(steps, rows, settings.latents, generator=generator)
        # What lies before an episode counts for nothing, whatever it is.
        nothing = torch.full((rows, settings.deter), math.nan), torch.full((rows, settings.stoch), math.nan)
        self.start = LatentState(*nothing)
        shapes = (settings.deter,), (settings.stoch,), (settings.latents, settings.classes)
        self.pulls = [torch.randn(steps, rows, *shape, generator=generator) for shape in shapes]


def native_scan(model: DreamerModel) -> NativeScan:
    native = NativeSteps(model)
    native.take_over()
    return NativeScan(native, model.world.dynamics)


@needs_native
@pytest.mark.parametrize("rows", [1, 16, 50])
@pytest.mark.parametrize("settings", [SMALL, WIDE], ids=["small", "wide"])
@torch.no_grad()
def test_each_observed_step_is_the_models_own(settings: DreamerSettings, rows: int) -> None:
    model = random_model(settings)
    given = Sequences(model, rows)
    state, probabilities = native_scan(model)(given.start, given.keep, given.drive, given.evidence, given.noise)
    before = given.start
    for step in range(len(given.noise)):
        inputs = given.keep[step], given.drive[step], given.evidence[step], given.noise[step]
        expected, likely = model.world.dynamics.observe(before, *inputs)
        assert (state.deter[step] - expected.deter).abs().max() < 0.03
        assert (state.deter[step] - expected.deter).abs().mean() < 0.003
        assert (probabilities[step] - likely).abs().max() < 0.1
        assert (probabilities[step] - likely).abs().mean() < 0.01
        torch.testing.assert_close(probabilities[step].sum(-1), torch.ones(rows, settings.latents), rtol=0, atol=1e-5)
        drawn = one_hot_choice(probabilities[step].flatten(0, 1), given.noise[step].flatten())
        assert (drawn.view(rows, -1) != state.stoch[step]).float().mean() < 1e-3
        before = LatentState(state.deter[step], state.stoch[step])


@needs_native
@pytest.mark.parametrize("rows", [1, 16, 50])
@pytest.mark.parametrize("settings", [SMALL, WIDE], ids=["small", "wide"])
def test_its_gradient_is_that_of_the_scan_up_to_rounding(settings: DreamerSettings, rows: int) -> None:
    """For every weight, and for what actions and observations add: two per cent of the whole."""
    model = random_model(settings)
    given, dynamics = Sequences(model, rows), model.world.dynamics
    parts = scan_steps(dynamics)
    names = [name for name, value in dynamics.named_parameters() if any(value is part for part in parts.parameters)]
    wanted = (given.drive, given.evidence, *(dynamics.get_parameter(name) for name in names))
    inputs = given.start, given.keep, given.drive, given.evidence, given.noise
    # The same draws in both, or their gradients have nothing in common.
    native_state, native_probabilities = native_scan(model)(*inputs)
    state, probabilities = scan(Drawn(native_state.stoch).steps(parts), *inputs)
    native = torch.autograd.grad((*native_state, native_probabilities), wanted, given.pulls)
    exact = torch.autograd.grad((*state, probabilities), wanted, given.pulls)
    for name, found, expected in zip(("drive", "evidence", *names), native, exact, strict=True):
        assert found.shape == expected.shape, name
        error = torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected)
        assert error < 0.02, (name, float(error))


class Drawn:
    """Gives each step of a scan a z that was drawn elsewhere, in place of its own."""

    def __init__(self, stoch: Tensor) -> None:
        self.stoch = iter(stoch.detach())

    def steps(self, steps: ScanSteps) -> ScanSteps:
        """`steps` with those z."""

        def forward(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            deter, _, probabilities = steps.forward(*inputs)
            return deter, next(self.stoch), probabilities

        return replace(steps, forward=forward)


@needs_native
def test_it_follows_the_weights_as_they_change() -> None:
    model = random_model(SMALL)
    given = chance_for(SMALL, 20)
    native = NativeSteps(model)
    native.take_over()
    before = native.imagine(*given)[1]
    with torch.no_grad():
        model.behaviour.actor.output.bias.zero_()
        model.behaviour.actor.output.weight.zero_()
    native.take_over()
    after = native.imagine(*given)[1]
    low, high = SMALL.deviation_low, SMALL.deviation_high
    deviation = (high - low) / (1.0 + math.exp(-2.0)) + low
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, deviation * given[2], rtol=1e-4, atol=1e-4)


@needs_native
def test_threads_change_nothing() -> None:
    native = NativeSteps(random_model(SMALL))
    native.take_over()
    given, threads = chance_for(SMALL, 150), torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(native.imagine(*given))
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, *results))


@needs_native
def test_rows_do_not_depend_on_their_neighbours_and_what_is_not_finite_stays_in_its_own() -> None:
    model = random_model(SMALL)
    features, latent, chance = chance_for(SMALL, 64)
    native = NativeSteps(model)
    native.take_over()
    visited, actions = native.imagine(features, latent, chance)
    few, few_actions = native.imagine(features[16:48], latent[:, 16:48], chance[:, 16:48])
    assert torch.equal(few, visited[:, 16:48])
    assert torch.equal(few_actions, actions[:, 16:48])
    features[3] = math.nan
    spoilt, _ = native.imagine(features, latent, chance)
    finite = spoilt.isfinite().all(-1).all(0)
    assert finite.tolist() == [row != 3 for row in range(64)]
    assert torch.equal(spoilt[:, finite], visited[:, finite])


@needs_native
def test_an_update_with_it_is_near_one_without() -> None:
    """Same weights, same batch, same chance: what is imagined differs by rounding, and so do the losses."""
    settings = SMALL.model_copy(update={"precision": "bfloat16"})
    generator = torch.Generator().manual_seed(2)
    batch = {
        "observation": torch.randn(4, 8, 7, generator=generator),
        "action": torch.randn(4, 8, 6, generator=generator).clamp(-1.0, 1.0),
        "reward": torch.randn(4, 8, generator=generator),
        "is_first": torch.zeros(4, 8),
        "is_last": torch.zeros(4, 8),
        "is_terminal": torch.zeros(4, 8),
        "deter": torch.zeros(4, settings.deter),
        "stoch": torch.zeros(4, settings.stoch),
    }
    losses = []
    for native in (False, True):
        dreamer = Dreamer(SPACES, settings, torch.Generator().manual_seed(3))
        dreamer.model.load_state_dict(random_model(settings).state_dict())
        dreamer.step_natively(enabled=native)
        losses.append(dreamer.losses(batch))
    without, using = losses
    for name, loss in without.scaled.items():
        torch.testing.assert_close(using.scaled[name], loss, rtol=0.05, atol=0.02, msg=name)
    assert without.figures["return"] != using.figures["return"]


def test_models_that_the_kernel_cannot_imagine_with_are_left_to_torch() -> None:
    narrow = random_model(SMALL.model_copy(update={"units": 48}))
    discrete = random_model(SMALL, DreamerSpaces(vector=7, actions=6, discrete=True))
    assert "no multiples of 32" in native_reason_for(narrow)
    assert native_reason_for(discrete) == "its actions are discrete"
    with pytest.raises(ConfigError, match=r"^the native kernel cannot do .* steps: its actions are discrete$"):
        NativeSteps(discrete)
