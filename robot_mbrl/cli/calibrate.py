"""`robot-mbrl calibrate joints` and `robot-mbrl calibrate monitor`."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from rich.box import SIMPLE
from rich.table import Table

from robot_mbrl.cli.calibrate_monitor import Request
from robot_mbrl.cli.calibrate_monitor import calibrate as calibrate_monitor
from robot_mbrl.cli.options import Arm, CalibrationFile, OptionalPort
from robot_mbrl.cli.terminal import Terminal, console
from robot_mbrl.commissioning.emulated_hand import ControlledArm, EmulatedHand
from robot_mbrl.commissioning.joint_calibration import JointCalibrator
from robot_mbrl.commissioning.operator import Operator
from robot_mbrl.commissioning.servo_search import UNHURRIED
from robot_mbrl.contracts.atomic_file import write_atomically
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.config import one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.drivers.bus import open_bus
from robot_mbrl.drivers.calibration import (
    ArmCalibration,
    default_path,
    from_lerobot,
    load_calibration,
    to_lerobot,
)
from robot_mbrl.drivers.virtual.control import control_path
from robot_mbrl.drivers.virtual.control_client import ControlClient
from robot_mbrl.learning.monitor_calibration import CalibrationSettings

ABOUT: Final = (
    "Calibrate an arm: `joints` by hand, with its torque off; `monitor` from the logs of flights that went well."
)
EXAMPLES: Final = """\b
Examples:
  robot-mbrl calibrate joints --arm so101_follower --port /dev/ttyACM0
  robot-mbrl calibrate joints --arm so101_follower --port /tmp/so101 --emulated-hand
  robot-mbrl calibrate joints --arm so101_follower --export-lerobot my_arm.json
"""

MONITOR_EXAMPLES: Final = """\b
Examples:
  robot-mbrl calibrate monitor logs/later --train logs/first --ensemble monitor.onnx --episode 10
  robot-mbrl calibrate monitor logs/later --ensemble monitor.onnx --shifted logs/payload --onset 2
"""
Logs = Annotated[list[Path], typer.Argument(help="Flight logs, or folders of them, of nominal flights.")]

app = typer.Typer(help=ABOUT, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def calibrate() -> None:
    """Hold the commands below; what they share is said in `ABOUT`."""


@app.command("joints", epilog=EXAMPLES)
def joints(
    arm: Arm,
    port: OptionalPort = None,
    calibration: CalibrationFile = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier run ended.")] = False,
    import_lerobot: Annotated[
        Path | None, typer.Option(help="Take LeRobot's calibration file instead of recording.")
    ] = None,
    export_lerobot: Annotated[
        Path | None, typer.Option(help="Write LeRobot's calibration file too; without --port, only that.")
    ] = None,
    emulated_hand: Annotated[
        bool, typer.Option("--emulated-hand", help="Virtual arms only: an emulated hand does what yours would.")
    ] = False,
) -> None:
    """Record the zero and the range of every joint, while you move the arm by hand.

    The torque must be off; if it is on, the command asks before it lets the arm FALL. It then asks for all joints to
    be held in the middle of their ranges, and for each joint to be moved from stop to stop. It writes the servos'
    offset and limit registers and the calibration file. It never switches the torque on. Every recorded joint is
    kept: after Ctrl-C, `--resume` goes on.
    """
    definition = load_arm(arm)
    path = calibration or default_path(definition)
    if port is not None:
        result = _on_the_arm(definition, port, path, import_lerobot, resume=resume, emulated_hand=emulated_hand)
        console().print(_table(result))
        typer.echo(f"{arm}: written to the servos and to {path}")
    elif export_lerobot is None:
        raise ConfigError("calibrate joints needs the arm: give its --port")
    else:
        result = load_calibration(path, definition)
    if export_lerobot is not None:
        write_atomically(export_lerobot, to_lerobot(result, definition))
        typer.echo(f"{arm}: exported to {export_lerobot}")


@app.command("monitor", epilog=MONITOR_EXAMPLES)
def monitor(  # noqa: PLR0913  (each option of a command is an argument)
    logs: Logs,
    *,
    ensemble: Annotated[Path, typer.Option(help="ONNX ensemble that will watch the policy.")],
    train: Annotated[
        list[Path] | None, typer.Option(help="Train the ensemble on these logs first; they must be others.")
    ] = None,
    test: Annotated[list[Path] | None, typer.Option(help="Further nominal logs, to test the promise on.")] = None,
    shifted: Annotated[
        list[Path] | None, typer.Option(help="Logs of flights with something wrong; a folder's name is the kind.")
    ] = None,
    onset: Annotated[float, typer.Option(min=0.0, help="When it went wrong in them, since the run began [s].")] = 0.0,
    thresholds: Annotated[Path, typer.Option(help="Thresholds file to write.")] = Path("thresholds.yaml"),
    report: Annotated[Path, typer.Option(help="Web page to write.")] = Path("monitor.html"),
    alpha: Annotated[float, typer.Option(help="Nominal episodes that doubt may stop, as a share.")] = 0.01,
    persistence: Annotated[float, typer.Option(help="How long a score must stay above its threshold [s].")] = 0.15,
    episode: Annotated[
        float | None,
        typer.Option(
            help="Cut runs into episodes of this length [s], and keep of each --shifted run the one that holds "
            "--onset; without it each run is one."
        ),
    ] = None,
) -> None:
    """Take the thresholds of the monitor's doubt from logs of nominal flights, with a promised rate of false stops.

    The promise is split-conformal: of further episodes like these, at most the share `--alpha` is stopped by doubt. It
    takes 2/alpha - 1 episodes or more, 199 for 1 %. Touches no hardware; `robot-mbrl deploy --ensemble FILE
    --thresholds FILE` uses what comes of it.
    """
    try:
        settings = CalibrationSettings(alpha=alpha, persistence=persistence)
    except ValidationError as error:
        raise ConfigError(one_line(error, "calibrate monitor")) from error
    request = Request(
        logs=logs,
        training=train or (),
        test=test or (),
        shifted=shifted or (),
        onset=onset,
        ensemble=ensemble,
        thresholds=thresholds,
        report=report,
        episode=episode,
    )
    for line in calibrate_monitor(request, settings):
        typer.echo(line)


def _on_the_arm(
    arm: ArmDefinition, port: str, path: Path, source: Path | None, *, resume: bool, emulated_hand: bool
) -> ArmCalibration:
    found = None if source is None else _read_lerobot(source, arm)
    clock = MonotonicClock()
    with ExitStack() as resources:
        bus = open_bus(port, arm.protocol, arm.baud, clock, UNHURRIED)
        resources.callback(bus.close)
        operator: Operator = Terminal()
        if emulated_hand:
            control = resources.enter_context(ControlClient(control_path(Path(port))))
            operator = EmulatedHand(arm, ControlledArm(control), clock, operator.tell)
        calibrator = JointCalibrator(arm, bus, operator, path)
        calibrator.prepare()
        if found is None:
            return calibrator.record(resume=resume)
        calibrator.install(found)
        return found


def _read_lerobot(path: Path, arm: ArmDefinition) -> ArmCalibration:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}): give LeRobot's calibration file") from error
    return from_lerobot(text, arm, str(path))


def _table(calibration: ArmCalibration) -> Table:
    table = Table("joint", "ID", "offset", "zero", "lowest", "highest", box=SIMPLE)
    for name, joint in calibration.joints.items():
        values = (joint.id, joint.homing_offset, joint.zero_tick, joint.range_min, joint.range_max)
        table.add_row(name, *(str(value) for value in values))
    return table
