"""Small ensembles and data that they are fitted to within a second."""

import numpy as np
import torch

from robot_mbrl.policies.ensemble import EnsembleSettings, ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_data import FloatRows
from robot_mbrl.policies.ensemble_training import EnsembleTrainer

SMALL = EnsembleSettings(
    members=3,
    elites=2,
    hidden=(16, 16),
    weight_decay=(1e-5, 2e-5, 3e-5),
    learning_rate=5e-3,
    batch_size=64,
    epochs=40,
    patience=8,
)


def small_trainer(
    settings: EnsembleSettings = SMALL, seed: int = 3, *, inputs: int = 3, outputs: int = 2
) -> EnsembleTrainer:
    generator = torch.Generator().manual_seed(seed)
    return EnsembleTrainer(ProbabilisticEnsemble(inputs, outputs, settings, generator), settings, generator)


def linear_rows(count: int, seed: int = 0) -> tuple[FloatRows, FloatRows]:
    """Inputs x, standard normal; y = (0.01 x_0 - 0.02 x_2, 3 x_1 + 5) with noise of deviation (0.002, 0.3)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, 3))
    noise = rng.standard_normal((count, 2)) * (0.002, 0.3)
    y = np.stack((0.01 * x[:, 0] - 0.02 * x[:, 2], 3.0 * x[:, 1] + 5.0), axis=1) + noise
    return x.astype(np.float32), y.astype(np.float32)
