"""Run folders as training leaves them, with a small Dreamer that has learned nothing but acts lively."""

from pathlib import Path
from typing import Any

import torch

from robot_mbrl.learning.dreamer_learner import DreamerLearner, resolved_settings
from robot_mbrl.learning.dreamer_run import BEST, DreamerFolder, DreamerRunSettings
from robot_mbrl.policies.dreamer_settings import DreamerSpaces
from robot_mbrl.sim.tasks import TASKS, make_task

SMALL: dict[str, Any] = {"deter": 32, "hidden": 8, "latents": 4, "classes": 4, "blocks": 4, "units": 12}


def lively_learner(task: str = "reach", seed: int = 0) -> DreamerLearner:
    """A Dreamer for an arm's task whose actions use all of their range, unlike those of one that has just begun."""
    layout = make_task(task).layout
    spaces = DreamerSpaces(vector=layout.size, actions=layout.joints)
    learner = DreamerLearner(spaces, resolved_settings("1M", SMALL), seed)
    behaviour = learner.dreamer.model.behaviour
    with torch.no_grad():
        behaviour.actor.output.weight.mul_(300.0)
        behaviour.critic.output.weight.normal_(generator=torch.Generator().manual_seed(seed))
    return learner


def write_run(path: Path, task: str = "reach", best: bool = True, seed: int = 0) -> DreamerLearner:
    """Make `path` the folder of a run on `task`; returns the learner in it."""
    DreamerFolder(path).begin(DreamerRunSettings(task=task, dreamer=SMALL))
    learner = lively_learner(task if task in TASKS else "reach", seed)
    if best:
        learner.save(path / BEST)
    return learner
