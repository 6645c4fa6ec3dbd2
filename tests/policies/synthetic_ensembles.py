"""Ensembles of linear models, whose predictions and disagreement can be worked out by hand."""

from collections.abc import Sequence

import numpy as np

from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.ensemble_export import EnsembleWeights
from robot_mbrl.policies.ensemble_file import EnsembleDescription

SCALE = (0.5, 0.25)
VARIANCE = 0.01
DYNAMICS = np.array([[1.0, 0.5], [0.0, 0.75]])
INPUT = np.array([[0.0], [0.25]])
"""x' = DYNAMICS x + INPUT u: all numbers are exact in float32."""


def description(scale: Sequence[float] = SCALE) -> EnsembleDescription:
    return EnsembleDescription(joint_names=("lift",), period=0.05, scale=tuple(scale))


def linear_ensemble(offsets: FloatArray) -> EnsembleWeights:
    """Members that predict `DYNAMICS` x + `INPUT` u + offset, one for each row of `offsets` (m, 2) [state's unit]."""
    scale, members = np.array(SCALE), len(offsets)
    change = np.hstack((DYNAMICS - np.eye(2), INPUT)).T / scale
    matrix = np.hstack((change, np.zeros((3, 2))))
    log_variance = np.broadcast_to(np.log(VARIANCE / scale**2), (members, 2))
    return EnsembleWeights(
        input_mean=np.zeros(3),
        input_deviation=np.ones(3),
        matrices=[np.repeat(matrix[None], members, axis=0)],
        biases=[np.hstack((offsets / scale, log_variance))],
    )
