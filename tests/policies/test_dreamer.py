"""Whole updates of a small Dreamer: what each loss may change, that runs resume exactly, and that it learns."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.dreamer import Dreamer, compute_precision
from robot_mbrl.policies.dreamer_settings import DreamerSettings, DreamerSpaces
from tests.policies.small_dreamer import SETTINGS, SPACES, generator, sequences

EAGER = SETTINGS.model_copy(update={"learning_rate": 3e-3, "warmup": 0})
"""Learns fast enough for a test."""


def weights(dreamer: Dreamer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in dreamer.model.state_dict().items()}


@pytest.mark.parametrize(
    "spaces",
    [SPACES, DreamerSpaces(vector=5, actions=3, discrete=True), DreamerSpaces(vector=4, image=1, actions=2)],
)
def test_an_update_gives_finite_figures_and_a_latent_for_every_step(spaces: DreamerSpaces) -> None:
    dreamer = Dreamer(spaces, EAGER, generator())
    batch = sequences(spaces)
    before = weights(dreamer)
    done = dreamer.train_step(batch)
    assert all(value.shape == () and torch.isfinite(value) for value in done.metrics.values()), done.metrics
    assert done.latents.deter.shape == (3, 6, EAGER.deter)
    one_hot = done.latents.stoch.view(3, 6, EAGER.latents, EAGER.classes)
    torch.testing.assert_close(one_hot.sum(-1), torch.ones(3, 6, EAGER.latents))
    after = weights(dreamer)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    kept = set(before) - moved
    assert not {name for name in kept if name.endswith("output.weight")}, "every head learns from the first update on"


def test_the_first_losses_are_those_of_heads_that_know_nothing() -> None:
    batch = sequences()
    done = Dreamer(SPACES, SETTINGS, generator()).train_step(batch)
    uniform = torch.log(torch.tensor(255.0))
    torch.testing.assert_close(done.metrics["loss/reward"], uniform)
    assert done.metrics["value"] == done.metrics["return"] == 0.0
    assert done.metrics["return_scale"] == 1.0
    # Weighted by the chance of getting there, which is below one.
    assert 0.0 < done.metrics["loss/critic"] < 2.0 * uniform
    counted = (1.0 - batch["is_last"][:, :-1]).mean()
    torch.testing.assert_close(done.metrics["loss/replay_critic"], 0.3 * 2.0 * uniform * counted)


@pytest.mark.parametrize("gradient", ["score", "dynamics"])
def test_each_loss_teaches_only_the_parts_it_is_meant_for(gradient: str) -> None:
    dreamer = Dreamer(SPACES, EAGER.model_copy(update={"actor_gradient": gradient}), generator())
    batch = sequences()
    dreamer.train_step(batch)
    losses = dreamer.losses(batch)
    named = {name: value for name, value in dreamer.model.named_parameters() if value.requires_grad}
    reached = {}
    for loss_name, loss in losses.scaled.items():
        gradients = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
        touched = {name for name, value in zip(named, gradients, strict=True) if value is not None and value.any()}
        reached[loss_name] = {name.split(".")[1] for name in touched}
    seen = {"encoder", "dynamics"}
    assert reached == {
        "reconstruction": seen | {"decoder"},
        "reward": seen | {"reward"},
        "continue": seen | {"going_on"},
        "dynamics": seen,
        "representation": seen,
        "doubt": {"doubt"},
        "actor": {"actor"},
        "critic": {"critic"},
        "replay_critic": seen | {"critic"},
    }


def test_the_gradient_through_the_dynamics_changes_nothing_but_the_actor() -> None:
    """Whatever the actor's loss is, and however the actor learns, all others make the same update."""
    after = []
    for entropy, gradient in ((3e-4, "score"), (3e-4, "dynamics"), (3.0, "dynamics")):
        settings = EAGER.model_copy(update={"entropy": entropy, "actor_gradient": gradient})
        dreamer = Dreamer(SPACES, settings, generator())
        dreamer.train_step(sequences())
        dreamer.train_step(sequences())
        after.append(weights(dreamer))
    first, *others = after
    # The second update's imagination follows the first one's actor, and is what the critics learn from.
    world = [name for name in first if name.startswith("world.")]
    for other in others:
        for name in world:
            torch.testing.assert_close(other[name], first[name], rtol=1e-4, atol=1e-5)
    assert any(not torch.equal(first[name], others[0][name]) for name in first if ".actor." in name)


def test_a_batch_with_a_number_that_is_not_finite_changes_nothing() -> None:
    dreamer = Dreamer(SPACES, EAGER, generator())
    dreamer.train_step(sequences())
    before = weights(dreamer)
    batch = sequences()
    batch["reward"][1, 2] = torch.nan
    assert not torch.isfinite(dreamer.train_step(batch).metrics["gradient_norm"])
    assert all(torch.equal(value, before[name]) for name, value in weights(dreamer).items())
    assert dreamer.updates == 1


def test_the_slow_critic_follows_by_a_fiftieth() -> None:
    dreamer = Dreamer(SPACES, EAGER, generator())
    before = weights(dreamer)
    dreamer.train_step(sequences())
    after = weights(dreamer)
    name = "output.weight"
    slow, fast = f"behaviour.slow_critic.{name}", f"behaviour.critic.{name}"
    torch.testing.assert_close(after[slow], 0.98 * before[slow] + 0.02 * after[fast])


def test_a_resumed_run_goes_on_exactly_as_the_first_would_have() -> None:
    batch = sequences()
    running = Dreamer(SPACES, EAGER, generator())
    for _ in range(3):
        running.train_step(batch)
    state = {name: value.clone() for name, value in running.state_dict().items()}
    resumed = Dreamer(SPACES, EAGER, generator(99))
    resumed.load_state_dict(state)
    assert resumed.updates == running.updates == 3
    for dreamer in (running, resumed):
        dreamer.train_step(batch)
    for (name, value), other in zip(weights(running).items(), weights(resumed).values(), strict=True):
        assert torch.equal(value, other), name
    observation = torch.ones(1, 5)
    actions = [d.step(d.initial(1), observation, torch.zeros(1, 2), torch.ones(1)).action for d in (running, resumed)]
    assert torch.equal(*actions)


def test_a_state_of_another_size_is_refused() -> None:
    state = Dreamer(SPACES, SETTINGS, generator()).state_dict()
    wider = Dreamer(SPACES, SETTINGS.model_copy(update={"units": 13}), generator())
    with pytest.raises(ConfigError, match="do not fit these settings"):
        wider.load_state_dict(state)


def test_a_batch_that_does_not_fit_is_refused() -> None:
    dreamer = Dreamer(SPACES, SETTINGS, generator())
    for name, value in (("observation", torch.zeros(3, 6, 4)), ("deter", torch.zeros(3, 2)), ("is_last", None)):
        batch = sequences()
        batch.pop(name)
        if value is not None:
            batch[name] = value
        with pytest.raises(ConfigError, match=f"for {name}: give a tensor of shape"):
            dreamer.train_step(batch)


def test_the_precision_follows_the_processor_unless_it_is_given() -> None:
    processor = torch.device("cpu")
    for name, wanted in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        assert compute_precision(DreamerSettings.model_validate({"precision": name}), processor) == wanted
    native = torch.cpu.get_capabilities().get("avx512_bf16", False)
    assert compute_precision(DreamerSettings(), processor) == (torch.bfloat16 if native else torch.float32)


def test_bfloat16_gives_nearly_the_losses_of_float32() -> None:
    batch, metrics = sequences(), []
    for precision in ("float32", "bfloat16"):
        dreamer = Dreamer(SPACES, EAGER.model_copy(update={"precision": precision}), generator())
        metrics.append([dreamer.train_step(batch).metrics for _ in range(3)][-1])
    for name in ("reconstruction", "reward", "continue", "dynamics", "critic", "replay_critic", "doubt"):
        torch.testing.assert_close(metrics[1][f"loss/{name}"], metrics[0][f"loss/{name}"], rtol=0.03, atol=0.0)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # torch's own
@pytest.mark.parametrize("gradient", ["score", "dynamics"])
def test_a_compiled_update_is_the_same_update(gradient: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as for the compiler, gradients too, but computed step by step, which takes seconds instead of minutes."""
    compile_ = torch.compile

    def traced(function: Callable[..., Any], *, fullgraph: bool, dynamic: bool, options: object) -> Callable[..., Any]:
        del options
        return compile_(function, fullgraph=fullgraph, dynamic=dynamic, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", traced)
    settings = EAGER.model_copy(update={"actor_gradient": gradient})
    batch, results = sequences(), []
    for compiled in (False, True):
        dreamer = Dreamer(SPACES, settings.model_copy(update={"compiled": compiled}), generator())
        results.append([dreamer.train_step(batch).metrics for _ in range(2)][-1])
    assert results[0].keys() == results[1].keys()
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-4, atol=1e-6)


def test_a_choice_has_no_gradient_to_follow() -> None:
    settings = EAGER.model_copy(update={"actor_gradient": "dynamics"})
    with pytest.raises(ConfigError, match="actor_gradient dynamics: a discrete action has no gradient: give score"):
        Dreamer(DreamerSpaces(vector=5, actions=3, discrete=True), settings, generator())


def test_it_learns_how_much_pays_through_the_dynamics() -> None:
    """The reward is the action before; all were tried alike. The best is 1, and chance alone would find 0."""
    spaces = DreamerSpaces(vector=1, actions=1)
    changes = {"learning_rate": 1e-2, "imagination": 2, "horizon": 2.0, "actor_gradient": "dynamics"}
    settings = EAGER.model_copy(update=changes)
    dreamer = Dreamer(spaces, settings, generator())
    rows, steps = 32, 4
    random = generator(7)
    batch = sequences(spaces, settings, rows, steps)
    for _ in range(150):
        action = 2.0 * torch.rand((rows, steps, 1), generator=random) - 1.0
        batch |= {name: torch.zeros(rows, steps) for name in ("is_first", "is_last", "is_terminal")}
        batch |= {"observation": action, "action": action, "reward": action[..., 0]}
        dreamer.train_step(batch)
    still = torch.zeros(50, 1)
    chosen = dreamer.step(dreamer.initial(50), still, still, torch.zeros(50), sample=False).action
    assert chosen.mean() > 0.8


def test_it_learns_which_action_pays() -> None:
    """The first action is rewarded with 1, the second with 0; both were tried alike."""
    spaces = DreamerSpaces(vector=1, actions=2, discrete=True)
    settings = EAGER.model_copy(update={"learning_rate": 2e-2, "imagination": 1})
    dreamer = Dreamer(spaces, settings, generator())
    rows, steps = 16, 4
    random = generator(7)
    batch = sequences(spaces, settings, rows, steps)
    for _ in range(50):
        choice = torch.randint(0, 2, (rows, steps), generator=random)
        batch |= {
            "observation": torch.zeros(rows, steps, 1),
            "action": torch.nn.functional.one_hot(choice, 2).float(),
            "reward": 1.0 - choice,
            "is_first": torch.zeros(rows, steps),
            "is_last": torch.zeros(rows, steps),
            "is_terminal": torch.zeros(rows, steps),
            "deter": torch.zeros(rows, settings.deter),
        }
        dreamer.train_step(batch)
    state = dreamer.initial(100)
    action = dreamer.step(state, torch.zeros(100, 1), torch.eye(2)[[0] * 100], torch.zeros(100)).action
    assert action[:, 0].mean() > 0.9
