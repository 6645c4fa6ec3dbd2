"""From a Dreamer's training run to a deployment bundle.

The policy acts by its modes: the likeliest latent and the mean action, as in its evaluations, so that the same
observations give the same actions.
"""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import JsonValue
from torch import Tensor, nn

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.bundle_export import describe_policy
from robot_mbrl.learning.dreamer_learner import DreamerLearner
from robot_mbrl.learning.dreamer_run import BEST, DreamerFolder, DreamerRunSettings
from robot_mbrl.learning.onnx_export import export_step, largest_difference
from robot_mbrl.learning.run_files import SETTINGS
from robot_mbrl.learning.task_identity import require_identity
from robot_mbrl.policies.bundle import ENSEMBLE, THRESHOLDS, Bundle, read_bundle, require_new, write_bundle
from robot_mbrl.policies.bundle_manifest import POLICY, StateTensor
from robot_mbrl.policies.dreamer_model import DreamerModel, LatentState
from robot_mbrl.policies.onnx_file import read_file
from robot_mbrl.policies.onnx_step import OnnxStep
from robot_mbrl.sim.tasks import TASKS, make_task

PARITY: Final = 1e-4
"""Largest difference between torch and onnxruntime that is taken for rounding."""


class DreamerStep(nn.Module):
    """One acting step of a Dreamer, as `export_step` takes it; its states are `dreamer_states`."""

    def __init__(self, model: DreamerModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, observation: Tensor, is_first: Tensor, deter: Tensor, stoch: Tensor, action: Tensor
    ) -> tuple[Tensor, ...]:
        """Answer (action, value, doubt, deter, stoch, action); a batch of 1 each."""
        step = self.model.step(LatentState(deter, stoch), observation, action, is_first)
        return step.action, step.value, step.doubt, *step.state, step.action.clamp(-1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of a run.

    Attributes:
        bundle: as it was read back.
        difference: largest one between torch and onnxruntime, see `onnx_export.largest_difference`.
        steps: recurrent steps that were compared.
    """

    bundle: Bundle
    difference: float
    steps: int


def dreamer_states(model: DreamerModel) -> tuple[StateTensor, ...]:
    """What a `DreamerStep` remembers: the latent state, and the action that was taken last."""
    settings = model.settings
    return (
        StateTensor(name="deter", shape=(1, settings.deter)),
        StateTensor(name="stoch", shape=(1, settings.stoch)),
        StateTensor(name="action", shape=(1, model.spaces.actions)),
    )


def export_dreamer(model: DreamerModel) -> bytes:
    """The acting step of `model` as ONNX.

    Raises:
        ConfigError: it sees images, chooses among discrete actions, or cannot be exported.
    """
    spaces = model.spaces
    if spaces.image or spaces.discrete:
        raise ConfigError(
            "policy: sees images or has discrete actions: an arm's policy observes numbers and changes joint targets"
        )
    return export_step(DreamerStep(model), spaces.vector, dreamer_states(model))


def export_run(
    run: Path,
    folder: Path,
    *,
    newest: bool = False,
    ensemble: Path | None = None,
    thresholds: Path | None = None,
    parity_steps: int = 1000,
) -> Exported:
    """Write the policy of a training run to a new bundle, and compare it with torch.

    Args:
        run: folder of the run.
        folder: of the bundle; must not be there yet.
        newest: take the newest checkpoint instead of the best evaluation's.
        ensemble: of the monitor, to go with it.
        thresholds: the monitor's for that ensemble, as `robot-mbrl calibrate monitor` wrote them.
        parity_steps: random recurrent steps to compare.

    Raises:
        ConfigError: there is no run, it was not trained on an arm's task or on the arm as it is defined now, or bundle
            and torch differ by more than `PARITY`.
    """
    require_new(folder)
    files = DreamerFolder(run)
    settings = files.settings()
    if settings.task not in TASKS:
        raise ConfigError(
            f"{run}: was trained on {settings.task}, which no arm can do: give a run of {' or '.join(TASKS)}"
        )
    require_identity(run, settings.identity)
    contents: dict[str, bytes] = {}
    if ensemble is not None:
        contents[ENSEMBLE] = read_file(ensemble, "the monitor's ensemble")
    if thresholds is not None:
        contents[THRESHOLDS] = read_file(thresholds, "the monitor's thresholds")
    source, before = files.learner(newest=newest), _before(settings)
    model = DreamerLearner.from_file(source).dreamer.model
    description = describe_policy(
        make_task(settings.task, settings.arm),
        dreamer_states(model),
        learner="dreamer",
        training=_training(settings, before),
        data=_data(files, settings, before, source),
        speed=settings.speed,
    )
    contents[POLICY] = export_dreamer(model)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        whole = Path(name) / folder.name
        write_bundle(whole, description, contents)
        random = np.random.default_rng(settings.seed)
        difference = largest_difference(DreamerStep(model), OnnxStep(read_bundle(whole)), parity_steps, random)
        if math.isinf(difference):
            raise ConfigError(
                f"{run}: within {parity_steps} random steps the policy answers with numbers that are not finite: "
                "nothing was exported; take another checkpoint, or train it again"
            )
        if not difference <= PARITY:
            raise ConfigError(
                f"{run}: a step in onnxruntime differs from torch's by {difference:.3g} within {parity_steps} "
                f"steps, limit {PARITY:g}: nothing was exported; report the versions of torch and onnxruntime"
            )
        whole.rename(folder)
    return Exported(read_bundle(folder), difference, parity_steps)


def _training(settings: DreamerRunSettings, before: Sequence[DreamerRunSettings]) -> dict[str, JsonValue]:
    """The settings, and under `begun_with` those of the runs `before`."""
    return {**settings.model_dump(mode="json"), "begun_with": [one.model_dump(mode="json") for one in before]}


def _data(
    files: DreamerFolder, settings: DreamerRunSettings, before: Sequence[DreamerRunSettings], source: Path
) -> str:
    """What the policy was trained on, in words."""
    progress = files.progress()
    best = max(progress.evaluations, key=lambda evaluation: evaluation.mean_return, default=None)
    actions = best.actions if source.name == BEST and best is not None else progress.actions
    told = f"{actions} actions of {settings.task} with {settings.arm} in simulation, seed {settings.seed}"
    for one in before:
        told += f"; begun with the networks of a run of {one.steps} actions of {one.task}, seed {one.seed}"
    lost = (settings, *before)[-1].start
    return told if lost is None else f"{told}; begun with the networks of {lost}, which is not there any more"


def _before(settings: DreamerRunSettings) -> list[DreamerRunSettings]:
    """Settings of the runs whose networks this one began with, the last one first, as far as they are still there."""
    before: list[DreamerRunSettings] = []
    start = settings.start
    while start is not None and (start / SETTINGS).exists():
        before.append(DreamerFolder(start).settings())
        start = before[-1].start
    return before
