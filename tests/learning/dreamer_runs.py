"""Run folders as training leaves them, with a small Dreamer that has learned nothing but acts lively."""

from pathlib import Path
from typing import Any

import torch
import yaml

from robot_mbrl.learning.dreamer_learner import DreamerLearner, dreamer_spaces, resolved_settings
from robot_mbrl.learning.dreamer_run import BEST, DreamerFolder, DreamerRunSettings
from robot_mbrl.learning.dreamer_training import beginning_of
from robot_mbrl.learning.vector_env import make_vector_env
from robot_mbrl.sim.tasks import TASKS

SMALL: dict[str, Any] = {"deter": 32, "hidden": 8, "latents": 4, "classes": 4, "blocks": 4, "units": 12}

SPEED = 0.5
SO101 = Path(__file__).parents[2] / "drivers" / "arms" / "so101_follower.yaml"


def lively_learner(task: str = "reach", seed: int = 0) -> DreamerLearner:
    """A Dreamer for an arm's task whose actions use all of their range, unlike those of one that has just begun."""
    spaces = dreamer_spaces(make_vector_env(task, 1).spaces)
    learner = DreamerLearner(spaces, resolved_settings("1M", SMALL), seed)
    behaviour = learner.dreamer.model.behaviour
    with torch.no_grad():
        behaviour.actor.output.weight.mul_(300.0)
        behaviour.critic.output.weight.normal_(generator=torch.Generator().manual_seed(seed))
    return learner


def write_run(
    path: Path, task: str = "reach", best: bool = True, seed: int = 0, arm: str = "so101_follower"
) -> DreamerLearner:
    """Make `path` the folder of a run on `task`; returns the learner in it."""
    speed = SPEED if task in TASKS else 1.0
    DreamerFolder(path).begin(beginning_of(DreamerRunSettings(task=task, arm=arm, dreamer=SMALL, speed=speed)))
    learner = lively_learner(task if task in TASKS else "reach", seed)
    if best:
        learner.save(path / BEST)
    return learner


def copied_arm(folder: Path) -> Path:
    """A definition of one's own of the SO-101, in `folder`."""
    arm = folder / "my_arm.yaml"
    arm.write_text(SO101.read_text(encoding="utf-8"), encoding="utf-8")
    return arm


def slow_down(arm: Path) -> None:
    """Halve the first joint's top speed in the definition `arm`: an action of 1 is a smaller step from here on."""
    defined = yaml.safe_load(arm.read_text(encoding="utf-8"))
    defined["joints"][0]["velocity_limit"] /= 2.0
    arm.write_text(yaml.safe_dump(defined), encoding="utf-8")
