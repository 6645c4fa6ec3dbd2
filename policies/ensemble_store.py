"""Training state on disk, as safetensors: weights, optimizer, scalers, random state and a fit under way. No pickle.

The file's metadata holds the settings and the names of inputs and outputs as JSON under `robot_mbrl.training`.
"""

from pathlib import Path
from typing import Final

import torch
from pydantic import Field, ValidationError
from safetensors.torch import save
from torch import Tensor

from robot_mbrl.contracts.atomic_file import write_atomically
from robot_mbrl.contracts.config import Settings, one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.ensemble import EnsembleSettings, ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_training import EnsembleTrainer
from robot_mbrl.policies.tensor_file import read_tensors

TRAINING_KEY: Final = "robot_mbrl.training"


class _Header(Settings):
    """What the tensors alone do not tell."""

    settings: EnsembleSettings
    input_names: tuple[str, ...] = Field(min_length=1)
    output_names: tuple[str, ...] = Field(min_length=1)


def save_training(path: Path, trainer: EnsembleTrainer) -> None:
    """Write all of `trainer`'s state to `path`; a reader or a crash finds the old file or the new one, never half.

    Raises:
        OSError: the file cannot be written.
    """
    ensemble = trainer.ensemble
    header = _Header(settings=trainer.settings, input_names=ensemble.input_names, output_names=ensemble.output_names)
    write_atomically(path, save(trainer.state_dict(), {TRAINING_KEY: header.model_dump_json()}))


def load_training(
    path: Path, *, input_names: tuple[str, ...] | None = None, output_names: tuple[str, ...] | None = None
) -> EnsembleTrainer:
    """The trainer whose state `save_training` wrote, with its ensemble; it goes on as the saved one would have.

    Names that are given must be the file's, in its order.

    Raises:
        ConfigError: the file cannot be read, is damaged or of something else, or names differ.
    """
    header, state = _read(path)
    for kind, wanted, found in (
        ("inputs", input_names, header.input_names),
        ("outputs", output_names, header.output_names),
    ):
        if wanted is not None and wanted != found:
            raise ConfigError(
                f"{path}: {kind} {', '.join(found)}: {', '.join(wanted)} are needed; give a model that was fitted to "
                "those, in this order"
            )
    generator = torch.Generator()
    ensemble = ProbabilisticEnsemble(
        len(header.input_names),
        len(header.output_names),
        header.settings,
        generator,
        input_names=header.input_names,
        output_names=header.output_names,
    )
    trainer = EnsembleTrainer(ensemble, header.settings, generator)
    try:
        trainer.load_state_dict(state)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    for name, values in ensemble.state_dict().items():
        if not values.isfinite().all():
            raise ConfigError(f"{path}: {name} holds numbers that are not finite: train it again")
    return trainer


def _read(path: Path) -> tuple[_Header, dict[str, Tensor]]:
    metadata, state = read_tensors(path)
    if TRAINING_KEY not in metadata:
        raise ConfigError(f"{path}: has no metadata {TRAINING_KEY!r}: give the path of an ensemble's training state")
    try:
        return _Header.model_validate_json(metadata[TRAINING_KEY]), state
    except ValidationError as error:
        raise ConfigError(f"{one_line(error, f'{path}, metadata {TRAINING_KEY}')}: train it again") from error
