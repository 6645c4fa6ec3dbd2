"""A deployment bundle: one folder with a policy as ONNX and all that must be known to run it on an arm. No torch.

    manifest.json   `BundleManifest`: what the numbers mean, for which arm, and the SHA-256 of every other file
    policy.onnx     one step of the policy, float32, n joints and o observation numbers:
                    inputs   observation (1, o), is_first (1,), state_<name> for each state tensor
                    outputs  action (1, n), next_<name> for each state tensor, value (1,), doubt (1,)
    ensemble.onnx   the monitor's ensemble, see `ensemble_file`; may be missing
    thresholds.yaml the monitor's thresholds for it, as `robot-mbrl calibrate monitor` writes them; may be missing

A policy without memory has no state tensors and may leave `is_first` out; anybody may leave out `value` and `doubt`.
With `is_first` = 1 the graph has to ignore the states. Whoever trained the policy: a folder like this runs.

The manifest is sealed by a SHA-256 over itself, so that a changed scale or limit is found like a changed weight. That
finds damage and mistakes; it is no signature.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from robot_mbrl.contracts.config import load_settings, one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import MonitorThresholds
from robot_mbrl.policies.bundle_manifest import POLICY, BundleManifest, PolicyDescription
from robot_mbrl.policies.ensemble_file import read_ensemble
from robot_mbrl.policies.onnx_file import (
    check_opset,
    check_weights,
    float_shapes,
    graph_inputs,
    parse_model,
    read_file,
)

MANIFEST: Final = "manifest.json"
ENSEMBLE: Final = "ensemble.onnx"
THRESHOLDS: Final = "thresholds.yaml"

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was found to be in order.

    Attributes:
        folder: where it lies.
        manifest: what it says of itself.
        policy: content of `policy.onnx`.
        thresholds: of the monitor, for the bundle's ensemble; None where there are none.
        has_value: whether the policy tells the value of a state.
        has_doubt: whether it tells its own doubt.
    """

    folder: Path
    manifest: BundleManifest
    policy: bytes
    thresholds: MonitorThresholds | None
    has_value: bool
    has_doubt: bool

    @property
    def ensemble(self) -> Path | None:
        """The monitor's ensemble; None where the bundle has none."""
        return self.folder / ENSEMBLE if ENSEMBLE in self.manifest.files else None


def read_bundle(folder: Path) -> Bundle:
    """Read the bundle in `folder` and check all that can be checked without running it.

    Raises:
        ConfigError: a file is missing, cut short or altered, the manifest is malformed, the policy's names, shapes or
            operator set are not what the manifest says, a weight is not finite, the ensemble is another arm's, or the
            thresholds are another ensemble's.
    """
    manifest = _read_manifest(folder / MANIFEST)
    contents = {name: read_file(folder / name, "a whole bundle") for name in manifest.files}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != manifest.files[name]:
            raise ConfigError(
                f"{folder / name}: does not match the SHA-256 in {MANIFEST}, so it was cut short or altered: copy or "
                "export the bundle again"
            )
    path = folder / POLICY
    model = parse_model(path, contents[POLICY])
    check_opset(path, model, {manifest.opset})
    check_weights(path, model)
    inputs = float_shapes(path, "input", graph_inputs(model))
    outputs = float_shapes(path, "output", model.graph.output)
    _check_tensors(path, manifest, inputs, outputs)
    if ENSEMBLE in manifest.files:
        _check_ensemble(folder / ENSEMBLE, manifest)
    thresholds = _read_thresholds(folder, manifest) if THRESHOLDS in manifest.files else None
    return Bundle(folder, manifest, contents[POLICY], thresholds, "value" in outputs, "doubt" in outputs)


def write_bundle(folder: Path, description: PolicyDescription, files: Mapping[str, bytes]) -> BundleManifest:
    """Write a new bundle and read it back, so that nothing is left that would be refused later.

    Args:
        folder: is created, whole or not at all; it must not be there yet.
        description: what the policy's numbers mean.
        files: contents by name, `policy.onnx` among them.

    Raises:
        ConfigError: `folder` exists, or `read_bundle` would refuse what is to be written.
        OSError: it cannot be written.
    """
    require_new(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fields = description.model_dump(mode="json")
    fields["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    fields["seal"] = manifest_seal(fields)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        whole = Path(name) / folder.name
        whole.mkdir()
        for file, content in files.items():
            (whole / file).write_bytes(content)
        (whole / MANIFEST).write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        manifest = read_bundle(whole).manifest
        whole.rename(folder)
    return manifest


def require_new(folder: Path) -> None:
    """Refuse to write a bundle over anything.

    Raises:
        ConfigError: `folder` exists.
    """
    if folder.exists():
        raise ConfigError(f"{folder}: exists already: give the name of a new folder, or remove it")


def manifest_seal(fields: Mapping[str, Any]) -> str:
    """What `seal` has to be in a manifest with these `fields`, whose own seal does not count."""
    kept = {name: value for name, value in fields.items() if name != "seal"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _read_manifest(path: Path) -> BundleManifest:
    content = read_file(path, f"a folder with {MANIFEST}, as `robot-mbrl export` makes it")
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON, or cut short ({error}): copy or export the bundle again") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"{path}: holds no mapping of names to values: copy or export the bundle again")
    if fields.get("seal") != manifest_seal(fields):
        raise ConfigError(f"{path}: does not match its seal, so it was altered: copy or export the bundle again")
    try:
        return BundleManifest.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"{one_line(error, str(path))}: export the bundle again") from error


def _check_tensors(
    path: Path,
    manifest: BundleManifest,
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
) -> None:
    wanted_inputs: dict[str, Shape] = {"observation": (1, manifest.observation_size)}
    wanted_outputs: dict[str, Shape] = {"action": (1, len(manifest.joints))}
    if manifest.states:
        wanted_inputs |= {"is_first": (1,)} | {state.input: state.shape for state in manifest.states}
        wanted_outputs |= {state.output: state.shape for state in manifest.states}
    extra_inputs: dict[str, Shape] = {} if manifest.states else {"is_first": (1,)}
    for kind, found, wanted, extra in (
        ("inputs", inputs, wanted_inputs, extra_inputs),
        ("outputs", outputs, wanted_outputs, {"value": (1,), "doubt": (1,)}),
    ):
        if not wanted.keys() <= found.keys() <= wanted.keys() | extra.keys():
            may = f" (and may be {', '.join(extra)})" if extra else ""
            raise ConfigError(
                f"{path}: {kind} are {', '.join(found)}, must be {', '.join(wanted)}{may} by the manifest: export it "
                "again"
            )
        for name, shape in found.items():
            right = (wanted | extra)[name]
            if shape != right:
                raise ConfigError(f"{path}: {name} has shape {shape}, must be {right} by the manifest: export it again")


def _check_ensemble(path: Path, manifest: BundleManifest) -> None:
    file = read_ensemble(path)
    names, n = file.description.joint_names, len(manifest.joints)
    if names != manifest.joint_names or (file.states, file.actions) != (2 * n, n):
        raise ConfigError(
            f"{path}: an ensemble of {', '.join(names)} with {file.states} states and {file.actions} actions: the "
            f"policy's arm has {', '.join(manifest.joint_names)} and needs {2 * n} and {n}: train it on this arm"
        )


def _read_thresholds(folder: Path, manifest: BundleManifest) -> MonitorThresholds:
    thresholds = load_settings(folder / THRESHOLDS, MonitorThresholds)
    theirs, ours = thresholds.uncertainty.model, manifest.files.get(ENSEMBLE)
    # Thresholds that name no ensemble would judge whatever lies beside them.
    if ours is None or theirs != ours:
        there = "the bundle has none" if ours is None else f"the bundle's has {ours[:12]}"
        raise ConfigError(
            f"{folder / THRESHOLDS}: taken with an ensemble of SHA-256 {'unknown' if theirs is None else theirs[:12]}, "
            f"{there}: export the bundle with the ensemble that the monitor was calibrated with"
        )
    return thresholds
