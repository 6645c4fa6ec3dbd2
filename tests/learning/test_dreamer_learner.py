"""Dreamer behind NumPy: files, first weights, open-loop prediction, images."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.dreamer_learner import DreamerLearner, dreamer_spaces, resolved_settings
from robot_mbrl.learning.vector_env import EnvSpaces
from robot_mbrl.policies.dreamer_settings import DreamerSettings

TINY = {"deter": 16, "hidden": 8, "latents": 4, "classes": 4, "blocks": 2, "units": 8, "depth": 1, "imagination": 2}
SETTINGS: DreamerSettings = resolved_settings("1M", {**TINY, "precision": "float32"})
VECTOR = EnvSpaces((3,), pixels=False, actions=2, discrete=False)
IMAGE = EnvSpaces((64, 64, 1), pixels=True, actions=3, discrete=True)


def fields(spaces: EnvSpaces, learner: DreamerLearner, rows: int = 4, length: int = 6) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(0)
    shape = (rows, length, *spaces.observation)
    if spaces.pixels:
        observation: NDArray[Any] = random.integers(0, 255, shape, np.uint8)
        action = np.eye(spaces.actions, dtype=np.float32)[random.integers(spaces.actions, size=(rows, length))]
    else:
        observation = random.standard_normal(shape, np.float32)
        action = random.uniform(-1.0, 1.0, (rows, length, spaces.actions)).astype(np.float32)
    flags = {name: np.zeros((rows, length), np.bool_) for name in ("is_first", "is_last", "is_terminal")}
    flags["is_first"][:, 0] = True
    reward = random.random((rows, length), np.float32)
    return {"observation": observation, "action": action, "reward": reward, **flags, **learner.initial(rows)._asdict()}


def test_a_learner_from_its_file_goes_on_to_the_bit(tmp_path: Path) -> None:
    learner = DreamerLearner(dreamer_spaces(VECTOR), SETTINGS, seed=1)
    learner.train(fields(VECTOR, learner))
    learner.save(tmp_path / "one")
    again = DreamerLearner.from_file(tmp_path / "one")
    straight, resumed = (one.train(fields(VECTOR, one)) for one in (learner, again))
    assert straight.figures == resumed.figures
    assert np.array_equal(straight.latent.deter, resumed.latent.deter)
    assert again.dreamer.settings == SETTINGS


def test_a_file_that_is_none_or_of_another_size_is_one_line(tmp_path: Path) -> None:
    learner = DreamerLearner(dreamer_spaces(VECTOR), SETTINGS, seed=1)
    learner.save(tmp_path / "one")
    (tmp_path / "cut").write_bytes((tmp_path / "one").read_bytes()[:-7])
    other = DreamerLearner(dreamer_spaces(VECTOR), SETTINGS.model_copy(update={"units": 16}), seed=1)
    for name, refuse, words in (
        ("cut", DreamerLearner.from_file, "cannot be read as safetensors"),
        ("missing", DreamerLearner.from_file, "cannot be read as safetensors"),
        ("one", other.load, "is of a Dreamer with units 8 and not 16"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            refuse(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_dreamer_that_sees_or_learns_otherwise_does_not_go_on_from_a_file(tmp_path: Path) -> None:
    scaled = dreamer_spaces(dataclasses.replace(VECTOR, magnitudes=(0.1, 1.0, 1.0)))
    DreamerLearner(dreamer_spaces(VECTOR), SETTINGS, seed=1).save(tmp_path / "one")
    for spaces, changes, words in (
        (scaled, {}, r"with magnitudes \(\) and not \(0.1, 1.0, 1.0\)"),
        (dreamer_spaces(VECTOR), {"learning_rate": 0.5}, "with learning_rate 4e-05 and not 0.5"),
    ):
        other = DreamerLearner(spaces, SETTINGS.model_copy(update=changes), seed=1)
        with pytest.raises(ConfigError, match=words):
            other.load(tmp_path / "one")
    compiled = DreamerLearner(dreamer_spaces(VECTOR), SETTINGS.model_copy(update={"compiled": True}), seed=1)
    compiled.load(tmp_path / "one")


def test_a_dreamer_begins_with_networks_of_its_own_shape_however_they_learned(tmp_path: Path) -> None:
    DreamerLearner(dreamer_spaces(VECTOR), SETTINGS, seed=1).save(tmp_path / "one")
    free = {"learning_rate": 0.5, "horizon": 20.0, "actor_gradient": "dynamics"}
    other = DreamerLearner(dreamer_spaces(VECTOR), SETTINGS.model_copy(update=free), seed=2)
    other.begin_with(tmp_path / "one", behaviour=True)
    shaped = DreamerLearner(dreamer_spaces(VECTOR), SETTINGS.model_copy(update={"latents": 8, "classes": 2}), seed=1)
    with pytest.raises(ConfigError, match="latents 4 and not 8, classes 4 and not 2"):
        shaped.begin_with(tmp_path / "one", behaviour=True)


def test_an_update_without_a_finite_gradient_says_so() -> None:
    learner = DreamerLearner(dreamer_spaces(VECTOR), SETTINGS, seed=1)
    batch = fields(VECTOR, learner)
    assert learner.train(batch).made
    batch["reward"][0, 0] = np.nan
    assert not learner.train(batch).made


@pytest.mark.parametrize("device", ["banana", "meta", "cuda:99"])
def test_a_device_that_torch_cannot_compute_on_is_one_line(device: str) -> None:
    with pytest.raises(ConfigError, match="torch cannot compute there") as caught:
        DreamerLearner(dreamer_spaces(VECTOR), SETTINGS, seed=1, device=device)
    assert "\n" not in str(caught.value)


def test_the_latents_of_training_are_those_of_acting_where_nothing_is_drawn() -> None:
    settings = SETTINGS.model_copy(update={"unimix": 0.0})
    learner = DreamerLearner(dreamer_spaces(VECTOR), settings, seed=1)
    for parameter in learner.dreamer.model.world.dynamics.posterior_out.parameters():
        parameter.data *= 1e4
    batch = fields(VECTOR, learner)
    latent, acted = learner.initial(4), []
    for row in range(6):
        observation, action, is_first = (batch[name][:, row] for name in ("observation", "action", "is_first"))
        _, latent = learner.act(latent, observation, action, is_first, explore=False)
        acted.append(latent)
    trained = learner.train(batch).latent
    assert np.allclose(trained.stoch, np.stack([step.stoch for step in acted], 1), atol=1e-5)
    assert np.allclose(trained.deter, np.stack([step.deter for step in acted], 1), atol=1e-4)


def test_a_place_in_decimetres_is_learned_like_the_same_place_in_metres_of_that_magnitude() -> None:
    sizes = (0.1, 1.0, 4.0)
    plain = DreamerLearner(dreamer_spaces(VECTOR), SETTINGS, seed=1)
    scaled = DreamerLearner(dreamer_spaces(dataclasses.replace(VECTOR, magnitudes=sizes)), SETTINGS, seed=1)
    batch = fields(VECTOR, plain)
    large = {**batch, "observation": (batch["observation"] * sizes).astype(np.float32)}
    one, other = plain.train(batch), scaled.train(large)
    assert one.figures["loss/reconstruction"] == pytest.approx(other.figures["loss/reconstruction"], rel=1e-5)
    assert np.allclose(one.latent.deter, other.latent.deter, atol=1e-5)
    predicted = plain.predict(batch, 2)["observation"]
    assert np.allclose(scaled.predict(large, 2)["observation"], predicted * sizes, atol=1e-4)


def test_a_prediction_sees_its_context_only() -> None:
    learner = DreamerLearner(dreamer_spaces(VECTOR), SETTINGS, seed=1)
    learner.train(fields(VECTOR, learner))
    batch = fields(VECTOR, learner)
    one = learner.predict(batch, 2)
    assert one["observation"].shape == (4, 6, 3)
    assert one["reward"].shape == (4, 6)
    batch["observation"][:, 2:] += 1.0
    blind = learner.predict(batch, 2)
    assert np.array_equal(one["observation"], blind["observation"])
    batch["observation"][:, 1] += 5.0
    assert not np.array_equal(one["observation"], learner.predict(batch, 2)["observation"])


def test_images_and_choices_are_learned_from_too() -> None:
    learner = DreamerLearner(dreamer_spaces(IMAGE), SETTINGS, seed=1)
    batch = fields(IMAGE, learner, rows=2, length=3)
    update = learner.train(batch)
    assert all(np.isfinite(value) for value in update.figures.values())
    predicted = learner.predict(batch, 1)["observation"]
    assert predicted.shape == (2, 3, 64, 64, 1)
    assert 0.0 <= predicted.min() <= predicted.max() <= 1.0
    action, _ = learner.act(
        learner.initial(2), batch["observation"][:, 0], batch["action"][:, 0], np.ones(2, np.bool_), explore=True
    )
    assert sorted(np.unique(action).tolist()) == [0.0, 1.0]
    assert action.sum(-1).tolist() == [1.0, 1.0]
