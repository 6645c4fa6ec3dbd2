"""`robot-mbrl train`."""

from pathlib import Path
from typing import Annotated, Final

import typer

from robot_mbrl.cli.extras import needs_training

ABOUT: Final = "Train in simulation. Touches no hardware."

app = typer.Typer(help=ABOUT, rich_markup_mode=None, no_args_is_help=True)

Task = Annotated[
    str | None, typer.Option(help="Such as reach, push, dm_control:cartpole-swingup or gymnasium:Pendulum-v1.")
]
Folder = Annotated[Path, typer.Option("--run-folder", help="Where the run is kept; a run that is there goes on.")]
SettingsFile = Annotated[Path | None, typer.Option("--settings", help="YAML file of settings; options win.")]


@app.callback()
def train() -> None:
    """Hold the commands below; what they share is said in `ABOUT`."""


@app.command("pets", epilog="\b\nExample:\n  robot-mbrl train pets --task reach --seed 0 --run-folder runs/reach-0")
def pets(
    run_folder: Folder,
    task: Task = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random: 0.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Environment steps; the default is the task's.")] = None,
    arm: Annotated[str | None, typer.Option(help="Arm of reach and push: so101_follower.")] = None,
    settings: SettingsFile = None,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads of the networks.")] = 1,
) -> None:
    """Learn a dynamics ensemble and plan on it: episodes, fits and evaluations by turns, as PETS does.

    The run folder gets the resolved settings, all transitions, the ensemble, the results (curve.csv) and TensorBoard
    scalars. A run that was killed goes on from its last complete episode to the same results when the command is given
    again; nothing but --run-folder is needed then. Without --settings, settings that suit the task are taken.
    Touches no hardware.
    """
    given = {"task": task, "seed": seed, "steps": steps, "arm": arm}
    needs_training("train pets", "train_pets").train(run_folder, settings, given, threads)


@app.command("dreamer", epilog="\b\nExample:\n  robot-mbrl train dreamer --task reach --run-folder runs/dreamer-reach")
def dreamer(
    run_folder: Folder,
    task: Annotated[
        str | None, typer.Option(help="reach, push, dm_control:DOMAIN-TASK or gymnasium:ID, images of 64x64 too.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random: 0.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Actions to train for, those of earlier calls too.")] = None,
    size: Annotated[str | None, typer.Option(help="Of the networks: 1M, 12M or 25M.")] = None,
    settings: SettingsFile = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads of networks and simulation.")] = None,
    device: Annotated[str, typer.Option(help="Where torch computes, such as cpu or cuda.")] = "cpu",
) -> None:
    """Learn a world model from replayed sequences and a policy inside it, as DreamerV3 does.

    The run folder gets the resolved settings, the replay, a checkpoint, the best policy, the evaluations (curve.csv),
    open-loop predictions and TensorBoard scalars. A run that was killed goes on from its checkpoint to the same curve
    when the command is given again; without --task and --settings, those of the run. Touches no hardware.
    """
    given = {"task": task, "seed": seed, "steps": steps, "size": size, "threads": threads}
    needs_training("train dreamer", "train_dreamer").train(run_folder, settings, given, device)
