"""Bundles that are written come back; whatever is wrong with one is told in one line, before it runs."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import Grades, MonitorThresholds, UncertaintySettings
from robot_mbrl.policies.bundle import ENSEMBLE, MANIFEST, manifest_seal, read_bundle, write_bundle
from robot_mbrl.policies.bundle_manifest import POLICY, ObservationField, StateTensor
from tests.policies.synthetic_bundles import (
    LIMITS,
    SIZE,
    description,
    ensemble_content,
    graph_model,
    make_bundle,
    monitor_thresholds,
    policy_model,
    tensor,
)

Model = onnx.ModelProto


def refused(folder: Path, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        read_bundle(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def refused_to_write(folder: Path, match: str, **arguments: Any) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        make_bundle(folder, **arguments)
    assert "\n" not in str(caught.value)
    assert list(folder.parent.iterdir()) == []


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object], *, sealed: bool) -> None:
    """Change the manifest as its maker could (`sealed`), or as an accident would."""
    fields = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    change(fields)
    if sealed:
        fields["seal"] = manifest_seal(fields)
    (folder / MANIFEST).write_text(json.dumps(fields), encoding="utf-8")


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    thresholds = monitor_thresholds(ensemble_content())
    made = make_bundle(
        tmp_path / "bundle",
        ensemble=ensemble_content(),
        thresholds=thresholds,
        training={"size": "1M", "steps": 100_000},
        data="seed 3",
    )
    bundle = read_bundle(made)
    assert (
        bundle.manifest.model_dump(exclude={"files", "seal"})
        == description(training={"size": "1M", "steps": 100_000}, data="seed 3").model_dump()
    )
    assert bundle.policy == policy_model().SerializeToString()
    assert bundle.manifest.files[POLICY] == hashlib.sha256(bundle.policy).hexdigest()
    assert bundle.ensemble == made / ENSEMBLE
    assert bundle.thresholds == thresholds
    assert (bundle.has_value, bundle.has_doubt) == (True, True)
    assert bundle.manifest.observation_size == SIZE


def test_a_bundle_may_be_without_ensemble_memory_value_and_doubt(tmp_path: Path) -> None:
    """As anybody's feed-forward network is."""
    model = graph_model(
        [helper.make_node("MatMul", ["observation", "weight"], ["action"])],
        [tensor("observation", 1, SIZE)],
        [tensor("action", 1, 2)],
        weight=np.zeros((SIZE, 2), np.float32),
    )
    bundle = read_bundle(make_bundle(tmp_path / "bundle", model=model, states=()))
    assert (bundle.has_value, bundle.has_doubt, bundle.ensemble, bundle.thresholds) == (False, False, None, None)


def test_a_bundle_can_be_moved(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "bundle")
    assert read_bundle(made.rename(tmp_path / "elsewhere")).manifest.arm == "two_joints"


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "bundle")
    before = (made / MANIFEST).read_bytes()
    with pytest.raises(ConfigError, match="exists already: give the name of a new folder"):
        make_bundle(made, data="another")
    assert (made / MANIFEST).read_bytes() == before


# -- damage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [MANIFEST, POLICY, ENSEMBLE])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    made = make_bundle(tmp_path / "bundle", ensemble=ensemble_content())
    (made / name).unlink()
    refused(made, rf"{name}: cannot be read \(No such file or directory\)")


def test_no_folder_at_all(tmp_path: Path) -> None:
    refused(tmp_path / "none", r"manifest\.json: cannot be read .* as `robot-mbrl export` makes it")


@pytest.mark.parametrize("name", [MANIFEST, POLICY, ENSEMBLE])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_a_file_that_was_cut_short(tmp_path: Path, name: str, share: float) -> None:
    made = make_bundle(tmp_path / "bundle", ensemble=ensemble_content())
    content = (made / name).read_bytes()
    (made / name).write_bytes(content[: int(len(content) * share)])
    refused(made, rf"{name}: .*cut short")


@pytest.mark.parametrize("name", [POLICY, ENSEMBLE])
def test_one_changed_bit(tmp_path: Path, name: str) -> None:
    made = make_bundle(tmp_path / "bundle", ensemble=ensemble_content())
    content = bytearray((made / name).read_bytes())
    content[len(content) // 2] ^= 1
    (made / name).write_bytes(content)
    refused(made, rf"{name}: does not match the SHA-256 in manifest\.json")


def test_a_changed_scale_breaks_the_seal(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "bundle")
    edit_manifest(made, lambda fields: fields["joints"][0].update(action_scale=0.2), sealed=False)
    refused(made, r"manifest\.json: does not match its seal, so it was altered")


@pytest.mark.parametrize("content", ["[]", "3", "null", '"seal"'])
def test_a_manifest_that_is_no_mapping(tmp_path: Path, content: str) -> None:
    made = make_bundle(tmp_path / "bundle")
    (made / MANIFEST).write_text(content, encoding="utf-8")
    refused(made, r"manifest\.json: holds no mapping")


def test_a_manifest_that_is_nested_too_deeply(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "bundle")
    (made / MANIFEST).write_text(200_000 * "[", encoding="utf-8")
    refused(made, r"manifest\.json: not JSON, or cut short")


# -- what its maker did wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: f.pop("joints"), "joints is missing: add it"),
        (lambda f: f.update(color="red"), "unknown key color"),
        (lambda f: f.update(format=2), "format = 2"),
        (lambda f: f.update(period=0.0), r"period = 0\.0"),
        (lambda f: f.update(opset=9), "opset = 9"),
        (lambda f: f["files"].pop(POLICY), r"files: policy\.onnx is missing"),
        (lambda f: f["files"].update({"../policy.onnx": "0" * 64}), r"\.\./policy\.onnx"),
        (lambda f: f["joints"][1].update(name="pan"), "joints: pan is there more than once"),
        (lambda f: f["joints"][1].update(action_scale=math.nan), r"joints\.1\.action_scale = nan"),
        (lambda f: f["joints"][1].update(position_limits=[0.5, -0.5]), "position limits of lift"),
        (lambda f: f["observation"][1].update(size=3), "observation field velocities has size 3, must be 2"),
        (lambda f: f["observation"][4].update(size=2), "observation field goal has size 2, must be 3"),
        (lambda f: f["observation"][0].update(unit="deg"), "observation field joints has unit 'deg', must be 'rad'"),
        (lambda f: f["observation"][1].update(unit="rad"), "observation field velocities has unit 'rad', must be"),
        (lambda f: f["observation"][4].update(unit="mm"), "observation field goal has unit 'mm', must be 'm'"),
        (lambda f: f["observation"][3].update(name="position"), "field position has size 3, must be 2"),
        (lambda f: f["observation"][3].update(name="velocity"), "field velocity has size 3, must be 2"),
        (lambda f: f["observation"][3].update(name="commanded"), "field commanded has size 3, must be 2"),
        (lambda f: f["observation"][3].update(name="time"), "field time has size 3, must be 1"),
        (lambda f: f["observation"][0].update(name="position", unit="m"), "position has unit 'm', must be 'rad'"),
        (lambda f: f.update(tool=None), "the tool's place is observed"),
        (lambda f: f.update(observation=[]), "observation = "),
        (lambda f: f["states"][0].update(shape=[]), r"states\.0\.shape"),
    ],
)
def test_a_wrong_manifest(tmp_path: Path, change: Callable[[dict[str, Any]], object], match: str) -> None:
    made = make_bundle(tmp_path / "bundle")
    edit_manifest(made, change, sealed=True)
    refused(made, match)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"observation": (ObservationField(name="goal", size=3, unit="m"),)},
            r"observation has shape \(1, 12\), must be \(1, 3\) by the manifest",
        ),
        (
            {"states": (StateTensor(name="travel", shape=(1, 3)),)},
            r"state_travel has shape \(1, 2\), must be \(1, 3\)",
        ),
        (
            {"states": (StateTensor(name="way", shape=(1, 2)),)},
            r"inputs are observation, state_travel, is_first, must be observation, is_first, state_way by",
        ),
        ({"states": ()}, r"inputs are .*, must be observation \(and may be is_first\)"),
        ({"opset": 20}, r"operator set ai\.onnx 18: export it with ai\.onnx 20, and no other"),
        ({"joints": description().joints[:1], "observation": description().observation[4:]}, "has shape"),
    ],
)
def test_a_graph_that_is_not_the_manifests(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    refused_to_write(tmp_path / "bundle", match, **changes)


def rename(kind: str, index: int) -> Callable[[Model], object]:
    return lambda model: setattr(getattr(model.graph, kind)[index], "name", "wrong")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (rename("input", 0), "inputs are wrong, state_travel, is_first, must be observation"),
        (rename("input", 2), "inputs are observation, state_travel, wrong, must be"),
        (rename("output", 0), "outputs are wrong, next_travel, value, doubt, must be action, next_travel"),
        (rename("output", 3), r"outputs are .*, wrong, must be action, next_travel \(and may be value, doubt\)"),
    ],
)
def test_wrong_names(tmp_path: Path, change: Callable[[Model], object], match: str) -> None:
    refused_to_write(tmp_path / "bundle", match, change=change)


@pytest.mark.parametrize(("kind", "index"), [("input", 0), ("input", 1), ("input", 2), ("output", 0), ("output", 1)])
def test_wrong_shapes(tmp_path: Path, kind: str, index: int) -> None:
    def change(model: Model) -> None:
        getattr(model.graph, kind)[index].type.tensor_type.shape.dim[-1].dim_value = 7

    refused_to_write(tmp_path / "bundle", r"has shape \(.*7,?\), must be", change=change)


def test_a_size_that_is_left_open(tmp_path: Path) -> None:
    def change(model: Model) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"

    refused_to_write(tmp_path / "bundle", r"observation has shape \(0, 12\), must be \(1, 12\)", change=change)


def test_wrong_number_format(tmp_path: Path) -> None:
    def change(model: Model) -> None:
        model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE

    refused_to_write(tmp_path / "bundle", "input 'observation' is not float32", change=change)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_weight_that_is_not_finite(tmp_path: Path, bad: float) -> None:
    def change(model: Model) -> None:
        (weight,) = (entry for entry in model.graph.initializer if entry.name == "gain")
        weight.CopyFrom(numpy_helper.from_array(np.array([bad], np.float32), "gain"))

    refused_to_write(tmp_path / "bundle", "weight 'gain' has 1 of 1 values that are not finite", change=change)


def test_a_constant_node_that_is_not_finite(tmp_path: Path) -> None:
    def change(model: Model) -> None:
        bad = numpy_helper.from_array(np.array([math.nan], np.float32), "offset")
        model.graph.node.insert(0, helper.make_node("Constant", [], ["spare"], value=bad))

    refused_to_write(tmp_path / "bundle", "weight 'offset' has 1 of 1 values", change=change)


def test_weights_in_another_file(tmp_path: Path) -> None:
    def change(model: Model) -> None:
        model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL

    refused_to_write(tmp_path / "bundle", "lies in another file", change=change)


def test_an_ensemble_of_another_arm(tmp_path: Path) -> None:
    other = ensemble_content(("pan", "elbow"))
    match = r"ensemble\.onnx: an ensemble of pan, elbow with 4 states and 2 actions: the policy's arm has pan, lift"
    refused_to_write(tmp_path / "bundle", match, ensemble=other)


def test_thresholds_of_another_ensemble(tmp_path: Path) -> None:
    other = monitor_thresholds(b"another one")
    match = r"thresholds\.yaml: taken with an ensemble of SHA-256 [0-9a-f]{12}, the bundle's has [0-9a-f]{12}: export"
    refused_to_write(tmp_path / "bundle", match, ensemble=ensemble_content(), thresholds=other)


def test_thresholds_that_name_no_ensemble(tmp_path: Path) -> None:
    nameless = MonitorThresholds(uncertainty=UncertaintySettings(residual=Grades(stop=9.0)))
    match = r"thresholds\.yaml: taken with an ensemble of SHA-256 unknown, the bundle's has [0-9a-f]{12}: export"
    refused_to_write(tmp_path / "bundle", match, ensemble=ensemble_content(), thresholds=nameless)


def test_thresholds_without_their_ensemble(tmp_path: Path) -> None:
    refused_to_write(
        tmp_path / "bundle", "the bundle has none: export", thresholds=monitor_thresholds(ensemble_content())
    )


def test_something_else_as_the_policy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"policy\.onnx: not an ONNX file, or cut short"):
        write_bundle(tmp_path / "bundle", description(), {POLICY: b"\xff not a model"})
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_without_a_policy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"files: policy\.onnx is missing"):
        write_bundle(tmp_path / "bundle", description(), {})


def test_an_interrupted_copy(tmp_path: Path) -> None:
    """Whole files, but not all of them."""
    made = make_bundle(tmp_path / "bundle", ensemble=ensemble_content())
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(made / MANIFEST, copy)
    refused(copy, r"policy\.onnx: cannot be read")


def test_limits_survive_to_the_last_digit(tmp_path: Path) -> None:
    bundle = read_bundle(make_bundle(tmp_path / "bundle", period=0.1 + 0.2))
    assert bundle.manifest.period == 0.1 + 0.2
    assert tuple(joint.position_limits for joint in bundle.manifest.joints) == LIMITS
