"""A run of PETS that takes a second and learns nothing."""

from typing import Any, Final

from robot_mbrl.learning.pets_settings import PetsTrainingSettings

TINY: Final[dict[str, Any]] = {
    "task": "dm_control:reacher-easy",
    "repeat": 20,
    "steps": 4000,
    "evaluate_every": 2000,
    "evaluation_episodes": 2,
    "fit_every": 2,
    "ensemble": {
        "members": 2,
        "elites": 2,
        "hidden": [8],
        "weight_decay": [0.0, 0.0],
        "epochs": 3,
        "refit_epochs": 2,
        "least_rows": 10,
    },
    "fast": {
        "horizon": 3,
        "optimizer": {"kind": "icem", "population": 8, "elites": 2, "iterations": 2},
        "rollouts": {"threads": 1},
    },
}
"""Four episodes of 50 decisions each, of which three are planned, badly."""


def tiny(**changes: object) -> PetsTrainingSettings:
    """Those settings, some of them changed."""
    return PetsTrainingSettings.model_validate({**TINY, **changes})
