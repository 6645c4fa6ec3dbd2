"""`robot-mbrl eval`."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from typer.core import TyperGroup

from robot_mbrl.cli.eval_bundle import evaluate_bundle
from robot_mbrl.cli.extras import needs_training
from robot_mbrl.cli.options import Arm, Json

ABOUT: Final = "Evaluate what was trained. Touches no hardware."


class RunByDefault(TyperGroup):
    """`eval FOLDER...` means `eval run FOLDER...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` before arguments that name no command."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["run", *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(cls=RunByDefault, help=ABOUT, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Hold the commands below; what they share is said in `ABOUT`."""


@app.command("run", epilog="\b\nExample:\n  robot-mbrl eval runs/reach-0 runs/reach-1 runs/reach-2 --episodes 20")
def run(
    folders: Annotated[list[Path], typer.Argument(help="Run folders of `robot-mbrl train`, one a seed.")],
    episodes: Annotated[int, typer.Option(min=1, help="Episodes of each run.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the episodes, the same for every run.")] = 1_000_000,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads of the networks.")] = 1,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Run nothing: take each run's own last evaluation.")
    ] = False,
    scripted: Annotated[
        bool, typer.Option("--scripted", help="Let the arm's hand-written controller play the same episodes, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run episodes apart from training with what the runs have learned.

    Prints each run's mean return, final distance and success, and for each task the interquartile mean over its runs
    with a 95 % bootstrap interval (Agarwal et al. 2021). Touches no hardware.
    """
    module = needs_training("eval", "eval_run")
    module.evaluate_runs(folders, episodes, seed, threads, recorded=recorded, scripted=scripted, as_json=as_json)


@app.command("model", epilog="\b\nExample:\n  robot-mbrl eval model runs/reach-0 --plot model.png")
def model(
    folder: Annotated[Path, typer.Argument(help="Run folder of `robot-mbrl train pets`.")],
    transitions: Annotated[
        Path | None,
        typer.Option(
            help="Recorded transitions of this task, such as another run's; without, new episodes are played."
        ),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="New episodes to play.")] = 5,
    random: Annotated[bool, typer.Option("--random", help="Play random actions instead of the run's planner.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the episodes, and of where predictions start.")] = 1_000_000,
    plot: Annotated[Path | None, typer.Option(help="Write error growth and disagreement to this PNG.")] = None,
    as_json: Json = False,
) -> None:
    """Tell how well a run's learned model predicts, and whether its doubt tells where it does not.

    Errors after 1, 5, 10, 20 and 50 steps with the recorded actions, beside a prediction that nothing changes and a
    linear model of the same data; rank correlation of disagreement and true error. Touches no hardware.
    """
    needs_training("eval model", "eval_model").analyse_run(
        folder,
        transitions,
        plot,
        episodes=episodes,
        random=random,
        seed=seed,
        as_json=as_json,
    )


@app.command("bundle", epilog="\b\nExample:\n  robot-mbrl eval bundle bundles/reach --on arm --episodes 100")
def bundle(
    folder: Annotated[Path, typer.Argument(help="Folder of a deployment bundle for reach.")],
    on: Annotated[
        Literal["twin", "arm"], typer.Option(help="The task's own simulation, or the emulated arm over its wire.")
    ] = "twin",
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to try.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of starts and goals, the same ones in both places.")] = 1_000_000,
    arm: Arm = "so101_follower",
    as_json: Json = False,
) -> None:
    """Let an exported policy reach for goals, on the twin or on the emulated arm under control loop and monitor.

    Tells how many episodes end within the task's tolerance. The emulated arm's time goes on as fast as the computer
    gets through it: an episode of 5 s takes some seconds. Touches no hardware.
    """
    evaluate_bundle(folder, on, episodes, seed, arm, as_json=as_json)


@app.command("dreamer", epilog="\b\nExample:\n  robot-mbrl eval dreamer runs/dreamer-reach --episodes 100")
def dreamer(
    folder: Annotated[Path, typer.Argument(help="Run folder of `robot-mbrl train dreamer`.")],
    episodes: Annotated[int, typer.Option(min=1, help="Episodes, side by side.")] = 100,
    newest: Annotated[bool, typer.Option("--newest", help="Take the newest weights instead of the best ones.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the episodes.")] = 1_000_000,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads of networks and simulation.")] = 1,
    as_json: Json = False,
) -> None:
    """Run episodes apart from training with the policy that a run has learned, taking the mode of its actions.

    Prints mean return, final distance and the share of episodes that ended at the goal. Touches no hardware.
    """
    module = needs_training("eval dreamer", "eval_dreamer")
    module.evaluate_run(folder, episodes, seed, threads, newest=newest, as_json=as_json)
