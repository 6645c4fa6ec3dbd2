"""The command `robot-mbrl`: builds the command tree, runs one command, turns errors into one line and an exit code.

Only the module of the command that was asked for is imported, so that `--help` does not wait for MuJoCo.
"""

import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Final, NamedTuple

import typer

from robot_mbrl import __version__
from robot_mbrl.contracts.errors import ConfigError, RobotMbrlError

INTERRUPTED: Final = 130
"""What a shell reports for a program that Ctrl-C ended (128 + SIGINT)."""

PROGRAM: Final = "robot-mbrl"
COMPLETION: Final = "_ROBOT_MBRL_COMPLETE"
"""Environment variable by which a shell asks for completions instead of a run; typer derives it from the name."""
OWN_ARM: Final = "--port /dev/ttyACM0 --arm so101_follower"
FIRST_COMMANDS: Final = (
    f"{PROGRAM} doctor",
    f"{PROGRAM} setup-motors {OWN_ARM}",
    f"{PROGRAM} scan --port /dev/ttyACM0",
    f"{PROGRAM} calibrate joints {OWN_ARM}",
    f"{PROGRAM} doctor {OWN_ARM}",
    f"{PROGRAM} move {OWN_ARM} --joint shoulder_lift --to -0.8 --speed 0.2",
    f"{PROGRAM} deploy {OWN_ARM} --policy sine --seconds 20 --park",
)
"""What an arm of one's own needs, in this order: that of the README."""

SYNOPSIS: Final = """Serial-bus robot arms: drivers, an emulated arm, a twin, learning, deployment under a monitor.

Nothing moves unless the command's own help says so.

\b
An arm to try everything on, without hardware:
  robot-mbrl demo
  robot-mbrl virtual-arm --arm so101_follower --link /tmp/so101

\b
Your own arm:
  robot-mbrl doctor
  robot-mbrl scan --port /dev/ttyACM0

\b
Exit codes:
  0   done              6   servo bus: silent, garbled, doubled, wrong model
  1   other error       7   a servo reports a hardware error
  2   wrong usage       8   command refused: limits, torque, not ready
  3   settings          9   a value does not fit its register
  4   calibration       10  simulation
  5   serial port       11  channels between processes
  12  a process ended   13  the arm was stopped and latched
  128 + N  ended by signal N; 130 is Ctrl-C
"""


class Entry(NamedTuple):
    """One command.

    Attributes:
        module: of `robot_mbrl.cli`, imported only when the command is asked for.
        function: its function, or its own tree of commands.
        summary: what the list of commands says of it.
        example: what its help shows.
    """

    module: str
    function: str
    summary: str
    example: str


COMMANDS: Final[dict[str, Entry]] = {
    "demo": Entry(
        "demo",
        "demo",
        "See it all on an emulated SO-101, in minutes. Touches no hardware.",
        "robot-mbrl demo",
    ),
    "doctor": Entry(
        "doctor",
        "doctor",
        "Check this computer and, with --port and --arm, the arm. Reads only.",
        "robot-mbrl doctor --port /dev/ttyACM0 --arm so101_follower",
    ),
    "scan": Entry(
        "scan",
        "scan",
        "List the servos that answer on a port. Reads only.",
        "robot-mbrl scan --port /dev/ttyACM0 --protocol feetech --ids 1-6",
    ),
    "setup-motors": Entry(
        "setup_motors",
        "setup_motors",
        "Give each servo its ID and baud rate. Moves nothing.",
        "robot-mbrl setup-motors --port /dev/ttyACM0 --arm so101_follower",
    ),
    "calibrate": Entry(
        "calibrate",
        "app",
        "Record zero and range of each joint by hand, or the monitor's thresholds from logs.",
        "robot-mbrl calibrate joints --port /dev/ttyACM0 --arm so101_follower",
    ),
    "move": Entry(
        "move",
        "move",
        "Move one joint, slowly. MOVES THE ARM.",
        "robot-mbrl move --port /dev/ttyACM0 --arm so101_follower --joint shoulder_pan --to 0.3",
    ),
    "torque": Entry(
        "torque",
        "torque",
        "Switch the torque. Off lets the arm FALL.",
        "robot-mbrl torque off --port /dev/ttyACM0 --arm so101_follower",
    ),
    "virtual-arm": Entry(
        "virtual_arm",
        "virtual_arm",
        "Be an emulated arm on a serial port of its own.",
        "robot-mbrl virtual-arm --arm so101_follower --link /tmp/so101",
    ),
    "twin": Entry(
        "twin",
        "twin",
        "Step the MuJoCo twin of an arm in real time.",
        "robot-mbrl twin --arm so101_follower --seconds 5",
    ),
    "export": Entry(
        "export",
        "export",
        "Make a trained policy a bundle that an arm can run. Touches no hardware.",
        "robot-mbrl export runs/reach bundles/reach",
    ),
    "deploy": Entry(
        "deploy",
        "deploy",
        "Run a policy on an arm, under monitor, guardian and recorder. MOVES THE ARM.",
        "robot-mbrl deploy --arm so101_follower --port /dev/ttyACM0 --policy sine --seconds 20 --park",
    ),
    "stop": Entry(
        "stop",
        "stop",
        "Emergency stop of running deployments.",
        "robot-mbrl stop",
    ),
    "log": Entry(
        "log",
        "app",
        "Read flight logs: info, salvage, plot, replay. Touches no hardware.",
        "robot-mbrl log info logs/flight-20261121T115000123Z-0000.mcap",
    ),
    "train": Entry(
        "train",
        "app",
        "Train in simulation. Touches no hardware.",
        "robot-mbrl train pets --task reach --run-folder runs/reach-0",
    ),
    "eval": Entry(
        "eval",
        "app",
        "Evaluate what was trained. Touches no hardware.",
        "robot-mbrl eval runs/reach-0 runs/reach-1 --episodes 20",
    ),
    "bench": Entry(
        "bench",
        "app",
        "Measure the bus or the simulation and print the figures.",
        "robot-mbrl bench sim --json",
    ),
}


def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Print the version, or what to do first when no command is given."""
    if version:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit()
    if context.invoked_subcommand is None:
        typer.echo(first_steps())


def first_steps() -> str:
    """What to do first: what somebody reads who has typed nothing but the program's name."""
    own_arm = "\n".join(f"  {line}" for line in FIRST_COMMANDS)
    return f"""{PROGRAM} {__version__}: from unpowered servos to a learned policy that is stopped
whenever it is unsure.

Without hardware:
  {COMMANDS["demo"].example}

Your own arm, in this order, as the README tells; each command says what it is about
to do, and asks before the arm moves or falls:
{own_arm}

All commands and exit codes: {PROGRAM} --help
One command: {PROGRAM} COMMAND --help
Tab completion: {PROGRAM} --install-completion, then open a new terminal"""


def build(wanted: str | None) -> typer.Typer:
    """The command tree, with the module of the command `wanted` loaded; the others are listed by name only."""
    app = typer.Typer(
        name=PROGRAM,
        help=SYNOPSIS,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        invoke_without_command=True,
        callback=start,
    )
    for name, entry in COMMANDS.items():
        example = f"\b\nExample:\n  {entry.example}"
        function: Callable[..., None] | typer.Typer = _listed
        if name == wanted:
            function = getattr(importlib.import_module(f"robot_mbrl.cli.{entry.module}"), entry.function)
        if isinstance(function, typer.Typer):
            app.add_typer(function, name=name, short_help=entry.summary, epilog=example)
        else:
            app.command(name, short_help=entry.summary, epilog=example)(function)
    return app


def _listed() -> None:
    """Stand in the list of commands for one whose module is not loaded."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line `arguments` (without the program's name) and return the exit code."""
    wanted = _wanted(arguments)
    try:
        code = build(wanted)(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except RobotMbrlError as error:
        return _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        command = f"{PROGRAM} {wanted}" if wanted in COMMANDS else PROGRAM
        return _fail(f"{error.format_message()} (`{command} --help` tells more)", error.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}: give a path that can be used", ConfigError.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _wanted(arguments: Sequence[str]) -> str | None:
    """The command that is to be run, or whose options a shell wants to complete."""
    if COMPLETION in os.environ:
        # Bash tells the line so far by the one variable, the other shells by the other.
        line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
        arguments = line.split()[1:]
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def _fail(message: str, code: int) -> int:
    # A closed terminal takes no words; the exit code still counts.
    with suppress(OSError):
        typer.echo(f"error: {' '.join(message.split())}", err=True)
    return code


def main() -> None:
    """Entry point of the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that knows no degree sign shows a question mark; that is no reason to end.
            stream.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))
