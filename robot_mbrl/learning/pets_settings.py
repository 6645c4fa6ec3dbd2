"""What a run of PETS is told, and what suits each task."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

import yaml
from pydantic import Field, model_validator

from robot_mbrl.contracts.config import Settings, merged, parse_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.guidance import GuideSettings
from robot_mbrl.policies.ensemble import EnsembleSettings
from robot_mbrl.policies.fast_planner import FastPlannerSettings
from robot_mbrl.policies.pets import PetsSettings


class PetsTrainingSettings(Settings):
    """One run.

    Attributes:
        task: see `learning.tasks`.
        arm: name of an arm definition, or the path of one; for reach and push.
        seed: of everything random.
        steps: environment steps of training.
        repeat: environment steps that one action lasts; dm_control's tasks only.
        random_episodes: before the first fit.
        random_exponent: of the random actions' noise spectrum, `1 / f^exponent`; 0 is white.
        shown_episodes: after those, of the arm's hand-written controller, still before the first fit.
        shown_noise: share of random actions in them.
        capacity: transitions kept in memory; the oldest go first.
        fit_every: episodes from one fit with a fresh optimizer to the next; between them the fit goes on for a few
            epochs.
        refit_every: actions after which the dynamics' nets take in what came since and fit on for a few epochs, in the
            middle of an episode, so that its later plans know of its earlier steps; None waits for the episode's end.
        evaluate_every: environment steps from one evaluation to the next; one more comes at the end.
        evaluation_episodes: of each.
        ensemble: the nets and how they are fitted.
        guide: of the fast planner, learned from the hand-written controller's lessons and from the run's returns; None
            plans without one.
        planner: which one acts: the fast one or the published one.
        actions_per_plan: how many actions of a plan are executed before the next.
        fast: settings of the fast planner.
        pets: settings of the published planner.
    """

    task: str = Field(min_length=1)
    arm: str = "so101_follower"
    seed: int = Field(default=0, ge=0)
    steps: int = Field(ge=1)
    repeat: int = Field(default=1, ge=1)
    random_episodes: int = Field(default=1, ge=1)
    random_exponent: float = Field(default=1.0, ge=0.0, le=4.0)
    shown_episodes: int = Field(default=0, ge=0)
    shown_noise: float = Field(default=0.3, ge=0.0, le=1.0)
    capacity: int = Field(default=1_000_000, ge=1)
    fit_every: int = Field(default=10, ge=1)
    refit_every: int | None = Field(default=None, ge=1)
    evaluate_every: int = Field(ge=1)
    evaluation_episodes: int = Field(default=5, ge=1)
    ensemble: EnsembleSettings = EnsembleSettings()
    guide: GuideSettings | None = None
    planner: Literal["fast", "pets"] = "fast"
    actions_per_plan: int = Field(default=1, ge=1)
    fast: FastPlannerSettings = FastPlannerSettings()
    pets: PetsSettings = PetsSettings()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.guide is not None and self.planner != "fast":
            raise ValueError(f"a guide for planner {self.planner}: only the fast one follows it, give guide: null")
        return self

    @property
    def first_episodes(self) -> int:
        """How many there are before the first fit."""
        return self.random_episodes + self.shown_episodes

    @property
    def lessons(self) -> int:
        """How many each state of training has."""
        return 0 if self.guide is None else 1 + self.guide.imagined

    @property
    def planner_settings(self) -> FastPlannerSettings | PetsSettings:
        """Those of the planner that acts."""
        return self.fast if self.planner == "fast" else self.pets


_ONE_THREAD: Final = {"threads": 1}
"""Of the rollouts, so that a run does not depend on the number of processors."""


def _nets(layers: int, batch_size: int, refit_epochs: int, learning_rate: float = 1.5e-3) -> dict[str, Any]:
    """Nets of `layers` hidden layers that are small enough to be fitted after every episode.

    They are fitted by the published likelihood from the published first weights, with which the settings were found.
    """
    return {
        "beta": 0.0,
        "initial_deviation": 0.5,
        "patience": 10,
        "hidden": [128] * layers,
        "weight_decay": [1e-5] * (layers + 1),
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "epochs": 80,
        "refit_epochs": refit_epochs,
    }


# The arm's actions are velocities, and at its goal the tool shall stay. Some goals take another posture than the one in
# which the arm came near: the way there leads away from the goal at first.
_REACH: Final[dict[str, Any]] = {
    "horizon": 12,
    "optimizer": {"kind": "icem", "population": 72, "deviation": 0.25, "scouts": 32, "tail": "rest"},
    "rollouts": _ONE_THREAD,
}
# To push an object the arm goes round it first, which pays later than a plan sees: a guide knows. Away from what it has
# seen, the model promises too much of what the object does.
_PUSH: Final[dict[str, Any]] = {
    "horizon": 10,
    "optimizer": {"kind": "icem", "population": 40, "iterations": 2, "deviation": 0.1},
    # The controller bends the wrist to its limit: a little noise in a particle is past it.
    "rollouts": _ONE_THREAD | {"epistemic_weight": 0.1, "violation_chance": 0.5},
}
_SWING: Final[dict[str, Any]] = {
    "horizon": 25,
    "optimizer": {"kind": "icem", "population": 64, "colour": 2.0, "deviation": 1.0},
    "rollouts": _ONE_THREAD | {"violation_weight": 0.0},
}
_SEARCH: Final[dict[str, Any]] = {
    "horizon": 20,
    "optimizer": {"kind": "icem", "population": 160, "colour": 2.0, "deviation": 1.0},
    "rollouts": _ONE_THREAD | {"violation_weight": 0.0, "epistemic_weight": 0.5},
}

PRESETS: Final[dict[str, dict[str, Any]]] = {
    "reach": {
        "steps": 3000,
        "evaluate_every": 3000,
        "random_episodes": 18,
        "fit_every": 4,
        "ensemble": _nets(3, 64, 15),
        "fast": _REACH,
    },
    "push": {
        "steps": 20_000,
        "evaluate_every": 5000,
        "random_episodes": 5,
        "shown_episodes": 40,
        # An object that lies still is predicted exactly: the likelihood would be about that, and little else.
        "ensemble": _nets(3, 128, 8) | {"beta": 0.5},
        "guide": {},
        "fast": _PUSH,
    },
    "dm_control:cartpole-swingup": {
        "steps": 10_000,
        "evaluate_every": 5000,
        "repeat": 4,
        "random_episodes": 2,
        "fit_every": 3,
        "ensemble": _nets(3, 32, 30, 1e-3),
        "fast": _SWING,
    },
    "dm_control:reacher-easy": {
        "steps": 15_000,
        "evaluate_every": 6000,
        "repeat": 4,
        "random_episodes": 3,
        "fit_every": 3,
        "ensemble": _nets(2, 64, 20),
        "fast": _SEARCH,
    },
    "gymnasium:Pendulum-v1": {
        "steps": 3000,
        "evaluate_every": 1000,
        "ensemble": _nets(2, 32, 10),
        "fast": _SWING,
    },
}
"""What suits each task, where it differs from the defaults. Episodes of random actions cost next to nothing in
simulation, where planned ones take most of a run's time, and the arm's dynamics are learned from either."""

COMMON: Final[dict[str, Any]] = {"steps": 10_000, "evaluate_every": 2000}
"""For tasks without a preset."""


def resolve_settings(path: Path | None, given: Mapping[str, Any]) -> PetsTrainingSettings:
    """Settings of a run: the task's preset, changed by the file at `path`, changed by what is `given` and not None.

    Raises:
        ConfigError: no task, a file that cannot be read, or a setting that is unknown or out of range.
    """
    source = "settings" if path is None else str(path)
    chosen = {**_read(path), **{name: value for name, value in given.items() if value is not None}}
    if "task" not in chosen:
        raise ConfigError(f"{source}: no task: give --task, such as {', '.join(PRESETS)}")
    preset = PRESETS.get(str(chosen["task"]), COMMON)
    return parse_settings(yaml.safe_dump(merged(preset, chosen)), PetsTrainingSettings, source)


def changed_settings(begun: PetsTrainingSettings, given: Mapping[str, Any]) -> PetsTrainingSettings:
    """The settings of a run that was `begun`, changed by what is `given` and not None; today's presets have no say.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    wanted = {name: value for name, value in given.items() if value is not None}
    return parse_settings(
        yaml.safe_dump(merged(begun.model_dump(mode="json"), wanted)), PetsTrainingSettings, "settings"
    )


def _read(path: Path | None) -> dict[str, Any]:
    """The mapping in a YAML file; empty without one."""
    if path is None:
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}): give the path of a settings file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: holds a {type(found).__name__}, not settings: give `name: value` lines")
    return found
