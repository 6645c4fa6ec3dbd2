"""`OnnxEnsemble` against linear systems worked out by hand, a plain NumPy perceptron, and files that are wrong."""

import itertools
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.ensemble_export import EnsembleWeights, ensemble_model, write_ensemble
from robot_mbrl.policies.ensemble_file import DESCRIPTION_KEY, SEAL_KEY, EnsembleDescription, seal
from robot_mbrl.policies.onnx_ensemble import OnnxEnsemble
from tests.policies.synthetic_ensembles import SCALE, VARIANCE, description, linear_ensemble

STATE, ACTION = np.array([0.5, -1.0]), np.array([2.0])
NEXT = np.array([0.0, -0.25])
"""DYNAMICS STATE + INPUT ACTION = (0.5 - 0.5, -0.75 + 0.5)."""


def ensemble(path: Path, offsets: FloatArray) -> OnnxEnsemble:
    write_ensemble(path, linear_ensemble(offsets), description())
    return OnnxEnsemble(path)


def test_members_that_agree_do_not_disagree(tmp_path: Path) -> None:
    step = ensemble(tmp_path / "agree.onnx", np.zeros((5, 2))).step(STATE, ACTION)
    np.testing.assert_allclose(step.mean, NEXT, atol=1e-7)
    np.testing.assert_allclose(step.variance, VARIANCE, rtol=1e-6)
    assert step.disagreement == 0.0


def test_disagreement_of_two_members_that_differ_by_known_amounts(tmp_path: Path) -> None:
    """Offsets ±0.25 and ±0.5 are spreads e = (0.25, 0.5), in scales (0.5, 2): sqrt((0.25 + 4) / 2)."""
    step = ensemble(tmp_path / "differ.onnx", np.array([[0.25, 0.5], [-0.25, -0.5]])).step(STATE, ACTION)
    np.testing.assert_allclose(step.mean, NEXT, atol=1e-6)
    np.testing.assert_allclose(step.variance, (VARIANCE + 0.0625, VARIANCE + 0.25), rtol=1e-6)
    assert step.disagreement == pytest.approx(math.sqrt(2.125), rel=1e-6)


def test_the_measurements_noise_is_added_to_what_members_predict(tmp_path: Path) -> None:
    path = tmp_path / "noisy.onnx"
    noisy = description().model_copy(update={"noise": (0.5, 2.0)})
    write_ensemble(path, linear_ensemble(np.array([[0.25, 0.5], [-0.25, -0.5]])), noisy)
    step = OnnxEnsemble(path).step(STATE, ACTION)
    np.testing.assert_allclose(step.variance, (VARIANCE + 0.0625 + 0.25, VARIANCE + 0.25 + 4.0), rtol=1e-6)
    assert step.disagreement == pytest.approx(math.sqrt(2.125), rel=1e-6)


def test_disagreement_of_one_dissenter_among_five(tmp_path: Path) -> None:
    """One member off by 1.25 in the first variable: mean off by 0.25, e² = (1 + 4 · 0.0625) / 5 = 0.25, e / s = 1."""
    offsets = np.zeros((5, 2))
    offsets[3, 0] = 1.25
    step = ensemble(tmp_path / "dissent.onnx", offsets).step(STATE, ACTION)
    np.testing.assert_allclose(step.mean, NEXT + np.array([0.25, 0.0]), atol=1e-6)
    assert step.disagreement == pytest.approx(math.sqrt(0.5), rel=1e-6)


def random_members(path: Path) -> OnnxEnsemble:
    """Three members of one hidden layer, with random weights."""
    random = np.random.default_rng(5)
    weights = EnsembleWeights(
        input_mean=np.zeros(3),
        input_deviation=np.ones(3),
        matrices=[random.normal(size=(3, 3, 8)), random.normal(size=(3, 8, 4))],
        biases=[random.normal(size=(3, 8)), random.normal(size=(3, 4))],
    )
    write_ensemble(path, weights, description())
    return OnnxEnsemble(path)


def test_members_that_are_asked_one_by_one_answer_as_at_once(tmp_path: Path) -> None:
    loaded = random_members(tmp_path / "members.onnx")
    at_once = loaded.step(STATE, ACTION)
    loaded.step(2.0 * STATE, ACTION)
    loaded.begin(STATE, ACTION)
    assert loaded.go_on(1) is None
    assert loaded.go_on(1) is None
    in_parts = loaded.go_on(1)
    assert in_parts is not None
    assert in_parts.disagreement == at_once.disagreement > 0.0
    np.testing.assert_array_equal(in_parts.mean, at_once.mean)
    np.testing.assert_array_equal(in_parts.variance, at_once.variance)


def test_a_question_that_was_not_answered_is_forgotten(tmp_path: Path) -> None:
    loaded = random_members(tmp_path / "members.onnx")
    loaded.begin(2.0 * STATE, ACTION)
    assert loaded.go_on(2) is None
    loaded.begin(STATE, ACTION)
    assert loaded.go_on(2) is None
    answer = loaded.go_on(7)
    assert answer is not None
    np.testing.assert_array_equal(answer.mean, loaded.step(STATE, ACTION).mean)


def test_a_step_leaves_the_processors_arithmetic_as_it_was(tmp_path: Path) -> None:
    """A run-time that flushes small numbers to zero does so for the whole thread: then no verdict could be replayed."""
    ensemble(tmp_path / "agree.onnx", np.zeros((5, 2))).step(STATE, ACTION)
    smallest = np.array([5e-324, 1e-310])
    assert (smallest * 1.0 > 0.0).all()


def test_the_residual_counts_predicted_standard_deviations(tmp_path: Path) -> None:
    """Off by 3 and 4 of them: sqrt((9 + 16) / 2)."""
    loaded = ensemble(tmp_path / "agree.onnx", np.zeros((5, 2)))
    predicted, variance = np.array([1.0, 2.0]), np.array([0.01, 0.04])
    assert loaded.residual(predicted, predicted, variance) == 0.0
    assert loaded.residual(predicted, np.array([1.3, 2.8]), variance) == pytest.approx(math.sqrt(12.5), rel=1e-12)


def test_a_prediction_without_variance_is_taken_for_good_to_a_thousandth_of_the_scale(tmp_path: Path) -> None:
    """Off by 0.0005 and 0.00025, each one thousandth of its scale."""
    loaded = ensemble(tmp_path / "agree.onnx", np.zeros((5, 2)))
    assert loaded.residual(np.zeros(2), np.array(SCALE) / 1000.0, np.zeros(2)) == pytest.approx(1.0, rel=1e-12)


def test_what_is_not_finite_is_infinitely_doubtful(tmp_path: Path) -> None:
    loaded = ensemble(tmp_path / "agree.onnx", np.zeros((5, 2)))
    step = loaded.step(np.array([math.nan, 0.0]), ACTION)
    assert step.disagreement == math.inf
    assert loaded.residual(step.mean, NEXT, step.variance) == math.inf
    assert loaded.residual(NEXT, np.array([math.nan, 0.0]), np.ones(2)) == math.inf
    assert loaded.step(STATE, ACTION).disagreement == 0.0


def test_a_perceptron_gives_what_numpy_gives(tmp_path: Path) -> None:
    """Three hidden layers, random weights and scalers, float32 against float64."""
    random, states, actions, members, hidden = np.random.default_rng(3), 4, 2, 3, 16
    widths = (states + actions, hidden, hidden, hidden, 2 * states)
    shapes = list(itertools.pairwise(widths))
    weights = EnsembleWeights(
        input_mean=random.normal(size=6),
        input_deviation=random.uniform(0.5, 2.0, 6),
        matrices=[random.normal(0.0, shape[0] ** -0.5, (members, *shape)) for shape in shapes],
        biases=[random.normal(0.0, 0.1, (members, shape[1])) for shape in shapes],
    )
    scale = np.array([0.1, 0.2, 0.3, 0.4])
    path = tmp_path / "perceptron.onnx"
    write_ensemble(path, weights, description(scale.tolist()))
    loaded = OnnxEnsemble(path)
    assert (loaded.members, loaded.states, loaded.actions) == (3, 4, 2)
    state, action = random.normal(size=4), random.normal(size=2)
    scaled = (np.concatenate((state, action)) - weights.input_mean) / weights.input_deviation
    means, variances = [], []
    for member in range(members):
        x = scaled
        for matrix, bias in zip(weights.matrices[:-1], weights.biases[:-1], strict=True):
            y = x @ matrix[member] + bias[member]
            x = y / (1.0 + np.exp(-y))
        answer = x @ weights.matrices[-1][member] + weights.biases[-1][member]
        means.append(state + scale * answer[:states])
        variances.append(scale**2 * np.exp(answer[states:]))
    step = loaded.step(state, action)
    np.testing.assert_allclose(step.mean, np.mean(means, axis=0), rtol=1e-5)
    np.testing.assert_allclose(step.variance, np.mean(variances, axis=0) + np.var(means, axis=0), rtol=1e-5)
    disagreement = math.sqrt(np.mean(np.var(means, axis=0) / scale**2))
    assert step.disagreement == pytest.approx(disagreement, rel=1e-5)


def test_steps_do_not_overwrite_each_other(tmp_path: Path) -> None:
    loaded = ensemble(tmp_path / "agree.onnx", np.zeros((5, 2)))
    first = loaded.step(STATE, ACTION)
    kept = first.mean.copy()
    loaded.step(-STATE, ACTION)
    np.testing.assert_array_equal(first.mean, kept)


@pytest.mark.parametrize(("state", "action"), [((0.0,), (0.0,)), ((0.0, 0.0), (0.0, 0.0))])
def test_inputs_of_another_length_are_refused(
    tmp_path: Path, state: tuple[float, ...], action: tuple[float, ...]
) -> None:
    loaded = ensemble(tmp_path / "agree.onnx", np.zeros((5, 2)))
    with pytest.raises(ConfigError, match=r"ensemble (state|action) of shape .* give [12] numbers"):
        loaded.step(np.array(state), np.array(action))


def test_the_description_comes_back(tmp_path: Path) -> None:
    assert ensemble(tmp_path / "agree.onnx", np.zeros((5, 2))).description == description()


def refused(tmp_path: Path, file: bytes, match: str) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(file)
    with pytest.raises(ConfigError, match=match) as caught:
        OnnxEnsemble(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def model() -> onnx.ModelProto:
    return ensemble_model(linear_ensemble(np.zeros((5, 2))), description())


def resealed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    """A wrong file whose maker sealed it all the same."""
    changed = model()
    change(changed)
    seal(changed, description())
    return content(changed)


def content(changed: onnx.ModelProto) -> bytes:
    return bytes(changed.SerializeToString())


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.onnx: cannot be read"):
        OnnxEnsemble(tmp_path / "none.onnx")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    whole = content(model())
    refused(tmp_path, whole[: int(len(whole) * share)], r"cut short|has no metadata|does not match its seal")


def test_any_other_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, b"not a model at all", r"not an ONNX file, or cut short")
    refused(tmp_path, b"", r"has no metadata")


def test_one_changed_weight_breaks_the_seal(tmp_path: Path) -> None:
    changed = model()
    (weight,) = (entry for entry in changed.graph.initializer if entry.name == "matrix_0")
    values = numpy_helper.to_array(weight).copy()
    values[2, 0, 0] = np.nextafter(values[2, 0, 0], np.float32(10.0))
    weight.CopyFrom(numpy_helper.from_array(values, "matrix_0"))
    refused(tmp_path, content(changed), r"does not match its seal")


def test_a_changed_description_breaks_the_seal(tmp_path: Path) -> None:
    changed = model()
    kept = {entry.key: entry.value for entry in changed.metadata_props}
    helper.set_model_props(changed, kept | {DESCRIPTION_KEY: description((5.0, 5.0)).model_dump_json()})
    refused(tmp_path, content(changed), r"does not match its seal")


def test_a_file_without_seal_is_refused(tmp_path: Path) -> None:
    changed = model()
    (entry,) = (entry for entry in changed.metadata_props if entry.key == SEAL_KEY)
    changed.metadata_props.remove(entry)
    refused(tmp_path, content(changed), r"does not match its seal")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_is_named(tmp_path: Path, bad: float) -> None:
    def spoil(changed: onnx.ModelProto) -> None:
        (weight,) = (entry for entry in changed.graph.initializer if entry.name == "bias_0")
        values = numpy_helper.to_array(weight).copy()
        values[0, 0, 1] = bad
        weight.CopyFrom(numpy_helper.from_array(values, "bias_0"))

    refused(tmp_path, resealed(spoil), r"'bias_0' has 1 of 20 values that are not finite")


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    def move_out(changed: onnx.ModelProto) -> None:
        changed.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL

    refused(tmp_path, resealed(move_out), r"lies in another file")


@pytest.mark.parametrize(("domain", "version"), [("", 9), ("", 99), ("ai.onnx.ml", 3)])
def test_an_unknown_operator_set_is_refused(tmp_path: Path, domain: str, version: int) -> None:
    def change(changed: onnx.ModelProto) -> None:
        del changed.opset_import[:]
        changed.opset_import.append(helper.make_opsetid(domain, version))

    refused(tmp_path, resealed(change), rf"operator set .* {version}: export it with ai\.onnx 17 to 22")


@pytest.mark.parametrize(
    ("kind", "index", "match"),
    [
        ("input", 0, r"inputs wrong, action: must be state and action"),
        ("output", 1, r"outputs means, wrong: must be means and variances"),
    ],
)
def test_other_names_are_refused(tmp_path: Path, kind: str, index: int, match: str) -> None:
    refused(tmp_path, resealed(lambda changed: setattr(getattr(changed.graph, kind)[index], "name", "wrong")), match)


@pytest.mark.parametrize(("kind", "index"), [("input", 0), ("input", 1), ("output", 0), ("output", 1)])
@pytest.mark.parametrize("size", [0, 7])
def test_other_shapes_are_refused(tmp_path: Path, kind: str, index: int, size: int) -> None:
    def change(changed: onnx.ModelProto) -> None:
        dim = getattr(changed.graph, kind)[index].type.tensor_type.shape.dim
        dim[0].dim_value = size

    refused(tmp_path, resealed(change), r"has shape .*must be|onnxruntime cannot run it")


def test_an_unknown_size_is_refused(tmp_path: Path) -> None:
    def change(changed: onnx.ModelProto) -> None:
        changed.graph.input[1].type.tensor_type.shape.dim[1].dim_param = "any"

    refused(tmp_path, resealed(change), r"action has shape \(1, 0\)")


def test_another_element_type_is_refused(tmp_path: Path) -> None:
    def change(changed: onnx.ModelProto) -> None:
        changed.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE

    refused(tmp_path, resealed(change), r"input 'state' is not float32")


def test_a_graph_that_does_not_run_is_refused(tmp_path: Path) -> None:
    def change(changed: onnx.ModelProto) -> None:
        changed.graph.node[0].op_type = "NoSuchOperator"

    refused(tmp_path, resealed(change), r"onnxruntime cannot run it")


def test_answers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """Finite weights whose exponential is not: a log-variance of 1000."""
    weights = linear_ensemble(np.zeros((5, 2)))
    weights.biases[0][:, 2:] = 1000.0
    refused(tmp_path, content(ensemble_model(weights, description())), r"answers to zeros with numbers")


def test_weights_that_are_not_the_members_are_refused(tmp_path: Path) -> None:
    model = ensemble_model(linear_ensemble(np.zeros((5, 2))), description())
    matrix = next(constant for constant in model.graph.initializer if constant.name == "matrix_0")
    matrix.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(matrix)[:1], matrix.name))
    seal(model, description())
    refused(tmp_path, content(model), r"weights 'matrix_0' of shape \(1, 3, 4\), must begin with the 5 members")


def test_a_description_that_is_wrong_is_refused(tmp_path: Path) -> None:
    wrong = EnsembleDescription.model_construct(joint_names=("lift",), period=-1.0, scale=SCALE)
    changed = model()
    seal(changed, wrong)
    refused(tmp_path, content(changed), r"period = -1\.0")


def test_noise_of_another_number_of_states_is_refused() -> None:
    with pytest.raises(ValueError, match="noise of 1 numbers for 2 states"):
        EnsembleDescription(joint_names=("lift",), period=0.05, scale=SCALE, noise=(0.1,))


def test_weights_that_do_not_fit_are_refused() -> None:
    weights = linear_ensemble(np.zeros((5, 2)))
    with pytest.raises(ConfigError, match=r"layer 0: matrix \(5, 3, 4\).*give \(5, 3, 2\)"):
        ensemble_model(weights, description((1.0,)))
    with pytest.raises(ConfigError, match=r"and 0 actions: give at least"):
        ensemble_model(weights, description((1.0, 1.0, 1.0)))


def test_evaluating_keeps_no_file_and_starts_no_thread(tmp_path: Path) -> None:
    """Onnxruntime's event store and its uploader would be both: neither may hold up an arm's control loop."""
    home = tmp_path / "home"
    home.mkdir()
    write_ensemble(tmp_path / "e.onnx", linear_ensemble(np.zeros((5, 2))), description())
    code = (
        "import os, sys; from pathlib import Path; import numpy as np\n"
        "from robot_mbrl.policies.onnx_ensemble import OnnxEnsemble\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "OnnxEnsemble(Path(sys.argv[1])).step(np.zeros(2), np.zeros(1))\n"
        "print(len(os.listdir('/proc/self/task')) - before)"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(home)}
    command = [sys.executable, "-c", code, str(tmp_path / "e.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=120)
    assert done.stdout.split() == ["0"]
    assert list(home.rglob("*")) == []
