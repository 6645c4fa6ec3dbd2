"""What an ensemble is fitted to: checks of the rows, and the scalers made from them."""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble

FloatRows: TypeAlias = NDArray[np.float32]
"""(n, i) or (n, o), a row for each transition."""

_ROUNDING: Final = 1e-6
"""A deviation below this share of the largest magnitude is float32's rounding (relative 6e-8), not a change."""


class Scaler(NamedTuple):
    """Mean and deviation (i,) of each dimension, in its unit, float32."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def identity(cls, dimensions: int) -> "Scaler":
        """Mean 0 and deviation 1."""
        return cls(torch.zeros(dimensions, dtype=torch.float32), torch.ones(dimensions, dtype=torch.float32))


def check_rows(ensemble: ProbabilisticEnsemble, inputs: FloatRows, targets: FloatRows, least: int) -> None:
    """Refuse data that `ensemble` cannot be fitted to.

    Raises:
        ConfigError: other shapes or types, fewer than `least` rows, or a value that is not finite.
    """
    for kind, rows, names in (
        ("input", inputs, ensemble.input_names),
        ("output", targets, ensemble.output_names),
    ):
        if rows.ndim != 2 or rows.shape[1] != len(names) or rows.dtype != np.float32:
            raise ConfigError(
                f"ensemble {kind}s of shape {rows.shape} and type {rows.dtype}: give float32 of shape (rows, "
                f"{len(names)})"
            )
        if len(rows) < least:
            raise ConfigError(f"ensemble data of {len(rows)} rows: give {least} or more")
        finite = np.isfinite(rows)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise ConfigError(
                f"ensemble {kind} {names[column]!r} has {np.count_nonzero(~finite)} values that are not finite, the "
                f"first in row {row}: leave such rows out"
            )
    if len(inputs) != len(targets):
        raise ConfigError(f"ensemble data of {len(inputs)} inputs and {len(targets)} targets: give as many of both")


def fit_scaler(kind: str, names: Sequence[str], rows: FloatRows) -> Scaler:
    """Mean and deviation of `rows` (n, i), of dimensions `names` (i,).

    A dimension that does not change is refused: no member learns what it does, yet all of them would agree that it
    does nothing, and go on agreeing where it does change.

    Raises:
        ConfigError: a dimension does not change.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    deviation = rows.std(axis=0, dtype=np.float64)
    constant = deviation <= _ROUNDING * np.abs(rows).max(axis=0)
    if constant.any():
        column = int(constant.argmax())
        raise ConfigError(
            f"ensemble {kind} {names[column]!r} is {mean[column]:g} in all {len(rows)} rows: let it vary, or leave "
            "it out"
        )
    return Scaler(torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(deviation.astype(np.float32)))
