"""Files of fitted ensembles: training state that is damaged or another's, and ONNX that answers as torch does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_export import EnsembleWeights
from robot_mbrl.policies.ensemble_file import EnsembleDescription
from robot_mbrl.policies.ensemble_onnx import check_parity, export_ensemble, on_inputs
from robot_mbrl.policies.ensemble_store import TRAINING_KEY, load_training, save_training
from robot_mbrl.policies.ensemble_training import EnsembleTrainer
from robot_mbrl.policies.onnx_ensemble import OnnxEnsemble
from tests.policies.fitted_ensembles import SMALL, linear_rows, small_trainer

SCALE = (0.05, 2.0)
DISTANCE = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]])
"""From (position, velocity, goal) to (position, velocity, distance from the goal)."""
DESCRIPTION = EnsembleDescription(joint_names=("lift",), period=0.05, scale=SCALE)


def fitted() -> EnsembleTrainer:
    trainer = small_trainer()
    trainer.fit(*linear_rows(200))
    return trainer


@pytest.fixture
def training_file(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    ensemble = ProbabilisticEnsemble(3, 2, SMALL, generator, input_names=("q", "qd", "goal"), output_names=("q", "qd"))
    trainer = EnsembleTrainer(ensemble, SMALL, generator)
    trainer.fit(*linear_rows(200))
    path = tmp_path / "training.safetensors"
    save_training(path, trainer)
    return path


def test_a_saved_trainer_comes_back_whole(training_file: Path) -> None:
    trainer = load_training(training_file, input_names=("q", "qd", "goal"), output_names=("q", "qd"))
    again = training_file.with_name("again.safetensors")
    save_training(again, trainer)
    assert again.read_bytes() == training_file.read_bytes()
    assert trainer.settings == SMALL
    assert sorted(path.name for path in training_file.parent.iterdir()) == ["again.safetensors", "training.safetensors"]


def test_other_names_or_another_order_are_refused(training_file: Path) -> None:
    with pytest.raises(ConfigError, match="inputs q, qd, goal: qd, q, goal are needed"):
        load_training(training_file, input_names=("qd", "q", "goal"))
    with pytest.raises(ConfigError, match="outputs q, qd: q, v are needed"):
        load_training(training_file, output_names=("q", "v"))


def test_a_file_that_is_cut_short_is_refused(training_file: Path) -> None:
    content = training_file.read_bytes()
    training_file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigError, match="cannot be read as safetensors"):
        load_training(training_file)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    trainer = fitted()
    with torch.no_grad():
        trainer.ensemble.weights[0][0, 0, 0] = torch.nan
    save_training(tmp_path / "training.safetensors", trainer)
    with pytest.raises(ConfigError, match=r"weights\.0 holds numbers that are not finite: train it again"):
        load_training(tmp_path / "training.safetensors")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ConfigError, match=f"no metadata '{TRAINING_KEY}'"):
        load_training(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_training(tmp_path / "nothing.safetensors")


def test_a_state_with_a_tensor_missing_is_refused() -> None:
    trainer = small_trainer()
    state = trainer.state_dict()
    del state["ensemble.weights.1"]
    with pytest.raises(ConfigError, match=r"does not fit this ensemble .*weights\.1") as refusal:
        trainer.load_state_dict(state)
    assert "\n" not in str(refusal.value)


def test_onnx_answers_as_torch_does(tmp_path: Path) -> None:
    """Mean, variance of the mixture and disagreement of the elites, in units other than the fitted scaler's."""
    ensemble, path = fitted().ensemble, tmp_path / "ensemble.onnx"
    export_ensemble(path, ensemble, DESCRIPTION)
    onnx_ensemble = OnnxEnsemble(path)
    assert (onnx_ensemble.members, onnx_ensemble.states, onnx_ensemble.actions) == (2, 2, 1)
    inputs = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32) * 2.0
    prediction = ensemble.predict(torch.from_numpy(inputs))
    mean, epistemic, variance = (
        part.double().numpy() for part in (prediction.mean, prediction.epistemic, prediction.variance)
    )
    for index, row in enumerate(inputs.astype(np.float64)):
        step = onnx_ensemble.step(row[:2], row[2:])
        np.testing.assert_allclose((step.mean - row[:2]) / SCALE, mean[index] / SCALE, atol=1e-4)
        np.testing.assert_allclose(
            np.sqrt(step.variance) / SCALE, np.sqrt(variance[index]) / SCALE, rtol=1e-4, atol=1e-5
        )
        spread = np.sqrt((epistemic[index] / np.square(SCALE)).mean())
        assert step.disagreement == pytest.approx(spread, rel=1e-4, abs=1e-5)
    assert [entry.name for entry in tmp_path.iterdir()] == ["ensemble.onnx"]


def test_features_go_into_the_first_layer() -> None:
    random = np.random.default_rng(0)
    weights = EnsembleWeights(
        input_mean=random.normal(size=3),
        input_deviation=random.uniform(0.1, 2.0, size=3),
        matrices=[random.normal(size=(2, 3, 4))],
        biases=[random.normal(size=(2, 4))],
    )
    folded = on_inputs(weights, DISTANCE)
    position, velocity, goal = random.normal(size=3)

    def first_layer(given: EnsembleWeights, inputs: list[float]) -> FloatArray:
        answer: FloatArray = (np.array(inputs) - given.input_mean) / given.input_deviation @ given.matrices[0]
        return answer

    expected = first_layer(weights, [position, velocity, goal - position])
    np.testing.assert_allclose(first_layer(folded, [position, velocity, goal]), expected)


def test_a_file_takes_inputs_whose_features_the_ensemble_sees(tmp_path: Path) -> None:
    """And tells the deviation with the description's noise."""
    ensemble, path = fitted().ensemble, tmp_path / "ensemble.onnx"
    export_ensemble(path, ensemble, DESCRIPTION.model_copy(update={"noise": (0.03, 4.0)}), DISTANCE)
    step = OnnxEnsemble(path).step(np.array([0.3, -0.2]), np.array([0.7]))
    prediction = ensemble.predict(torch.tensor([[0.3, -0.2, 0.4]]))
    np.testing.assert_allclose(step.mean - (0.3, -0.2), prediction.mean[0].numpy(), atol=1e-5)
    measured = prediction.variance[0].numpy() + np.square((0.03, 4.0))
    np.testing.assert_allclose(step.variance, measured, rtol=1e-4)


@pytest.mark.parametrize("features", [None, DISTANCE])
@pytest.mark.parametrize("part", ["mean", "deviation", "disagreement"])
def test_a_file_of_another_ensemble_does_not_pass_for_this_one(
    tmp_path: Path, part: str, features: FloatArray | None
) -> None:
    trainer, path = fitted(), tmp_path / "ensemble.onnx"
    description = DESCRIPTION.model_copy(update={"noise": (0.001, 0.1)})
    export_ensemble(path, trainer.ensemble, description, features)
    first, second = trainer.ensemble.elites.tolist()
    with torch.no_grad():
        last = trainer.ensemble.biases[-1]
        if part == "mean":
            last[:, :, 0] += 0.05
        elif part == "deviation":
            last[:, :, 2] += 0.05
        else:
            last[first, :, 0] += 0.2
            last[second, :, 0] -= 0.2
    with pytest.raises(ConfigError, match="answers differ from the ensemble's"):
        check_parity(path, trainer.ensemble, torch.Generator().manual_seed(0), features)


def test_an_ensemble_that_does_not_predict_its_state_is_not_exported(tmp_path: Path) -> None:
    description = EnsembleDescription(joint_names=("lift",), period=0.05, scale=(1.0, 1.0, 1.0))
    with pytest.raises(ConfigError, match="3 inputs and 2 outputs for 3 states"):
        export_ensemble(tmp_path / "ensemble.onnx", fitted().ensemble, description)
    assert not list(tmp_path.iterdir())
