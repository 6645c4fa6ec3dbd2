"""A run folder of the task reach, fitted to a few random episodes: enough to come near a place, in seconds."""

from pathlib import Path

import numpy as np
import torch

from robot_mbrl.learning.episodes import RandomActor, Transition, run_episode
from robot_mbrl.learning.pets_settings import PetsTrainingSettings
from robot_mbrl.learning.run_folder import Progress, RunFolder
from robot_mbrl.learning.task_identity import identity_of
from robot_mbrl.learning.tasks import make_learning_task
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_training import EnsembleTrainer

EPISODES = 8
SETTINGS = PetsTrainingSettings.model_validate(
    {
        "task": "reach",
        "steps": 100 * EPISODES,
        "evaluate_every": 10_000,
        "ensemble": {
            "members": 2,
            "elites": 2,
            "hidden": [64, 64],
            "weight_decay": [1e-5, 1e-5, 1e-5],
            "batch_size": 64,
            "epochs": 25,
            "patience": 25,
        },
        "fast": {
            "horizon": 6,
            "optimizer": {"kind": "icem", "population": 32, "iterations": 2, "elites": 6},
            "rollouts": {"threads": 1},
        },
    }
)


def write_run(folder: Path, arm: str = "so101_follower") -> Path:
    """Train in `folder` without planning anything."""
    settings = SETTINGS.model_copy(update={"arm": arm})
    task = make_learning_task(settings.task, settings.arm)
    kept: list[Transition] = []
    for seed in range(EPISODES):
        run_episode(task, RandomActor(task, 1.0, np.random.default_rng(seed)), seed, kept.append)
    columns = ([each.state for each in kept], [each.action for each in kept], [each.next_state for each in kept])
    state, action, after = (torch.from_numpy(np.stack(column)) for column in columns)
    generator = torch.Generator().manual_seed(0)
    ensemble = ProbabilisticEnsemble(task.model.inputs, task.model.outputs, settings.ensemble, generator)
    trainer = EnsembleTrainer(ensemble, settings.ensemble, generator)
    trainer.fit(task.model.model_inputs(state, action).numpy(), task.model.targets(state, action, after).numpy())
    run = RunFolder(folder)
    run.begin(settings, identity_of(task))
    run.commit(Progress(steps=len(kept), episodes=EPISODES, transitions=len(kept)), trainer)
    return folder
