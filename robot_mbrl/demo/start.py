"""Keeps of a training run what the demonstration starts from: settings, figures and weights, nothing to train on with.

What ships in `robot_mbrl/demo/start` was made by

    robot-mbrl train pets --task reach --run-folder runs/reach-0
    python -m robot_mbrl.demo.start runs/reach-0 robot_mbrl/demo/start
"""

import argparse
from pathlib import Path

import torch

from robot_mbrl.learning.run_files import CURVE
from robot_mbrl.learning.run_folder import RunFolder
from robot_mbrl.learning.task_identity import read_identity
from robot_mbrl.policies.ensemble_store import load_training
from robot_mbrl.policies.ensemble_training import EnsembleTrainer


def keep_start(run: Path, target: Path) -> None:
    """Write what is needed of the run folder `run` to the folder `target`.

    Raises:
        ConfigError: there is no trained run at `run`, or another one at `target`.
    """
    source, folder = RunFolder(run), RunFolder(target)
    trained = load_training(source.ensemble())
    target.mkdir(parents=True, exist_ok=True)
    progress = source.progress()
    evaluated = tuple(result for result in progress.results if result.phase == "evaluation")
    folder.begin(source.settings(), read_identity(run))
    # A trainer that has not begun has no optimizer's moments, which are two thirds of the file.
    fresh = EnsembleTrainer(trained.ensemble, trained.settings, torch.Generator().manual_seed(0))
    folder.commit(progress.model_copy(update={"results": evaluated}), fresh, source.guide(progress))
    (target / CURVE).unlink()


def main() -> None:
    """Take both folders from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path, help="run folder of `robot-mbrl train pets`")
    parser.add_argument("target", type=Path, help="folder to write")
    arguments = parser.parse_args()
    keep_start(arguments.run, arguments.target)


if __name__ == "__main__":
    main()
