"""`robot-mbrl deploy`."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from pydantic import ValidationError

from robot_mbrl.cli.options import CalibrationFile, OptionalArm, OptionalPort, Yes
from robot_mbrl.cli.pilot_seat import PilotSeat
from robot_mbrl.cli.terminal import Terminal
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.config import RobotSettings, load_settings, one_line
from robot_mbrl.contracts.errors import ConfigError, NotReady
from robot_mbrl.contracts.monitor_settings import Grades, MonitorThresholds
from robot_mbrl.contracts.types import StopCategory
from robot_mbrl.data.log_header import LogHeader
from robot_mbrl.data.stop_figures import longest_stop
from robot_mbrl.runtime.bundle_defaults import with_bundle
from robot_mbrl.runtime.preflight import check_deployment, why_stopped
from robot_mbrl.runtime.settings import AnyRobot, DeploySettings, TwinSettings
from robot_mbrl.runtime.supervisor import Supervisor

STOPS: Final = {
    "hold": StopCategory.HOLD,
    "ramp-off": StopCategory.RAMP_OFF,
    "torque-off": StopCategory.TORQUE_OFF,
}
LEVELS: Final = ("slow", "hold", "stop")
ENDS: Final = {
    StopCategory.HOLD: "brakes and holds, torque on",
    StopCategory.RAMP_OFF: "brakes, then switches the torque off: the arm FALLS",
    StopCategory.TORQUE_OFF: "switches the torque off at once: the arm FALLS",
}


def deploy(  # noqa: PLR0913  (each option of a command is an argument)
    *,
    policy: Annotated[
        str | None,
        typer.Option(
            help="What moves the arm: sine, sine:FILE, scripted:FILE, pets:FILE, tour:FILE or bundle:FOLDER; none "
            "holds it."
        ),
    ] = None,
    standby: Annotated[
        str | None, typer.Option(help="A policy that stands by: `h` holds the arm, `p` lets the other one act.")
    ] = None,
    goal: Annotated[
        str | None, typer.Option(help="X,Y,Z where the task's tool or object shall come to, base frame [m].")
    ] = None,
    robot: Annotated[str | None, typer.Option(help="`twin`, or a robot.yaml; instead of --arm and --port.")] = None,
    arm: OptionalArm = None,
    port: OptionalPort = None,
    calibration: CalibrationFile = None,
    rate: Annotated[float | None, typer.Option(help="Ticks of the control loop a second [Hz]: 200.")] = None,
    policy_rate: Annotated[
        float | None, typer.Option(help="Steps of the policy a second [Hz]: 30, or the bundle's.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="How long to run [s]; until Ctrl-C without it.")] = None,
    log_dir: Annotated[Path | None, typer.Option(help="Folder of the flight logs: ./logs.")] = None,
    stop: Annotated[
        Literal["hold", "ramp-off", "torque-off"] | None,
        typer.Option(help="What a stop does: hold. Without torque the arm FALLS."),
    ] = None,
    park: Annotated[bool, typer.Option("--park", help="Move slowly to the park pose at the end.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Torque off at the end: the arm FALLS.")] = False,
    ensemble: Annotated[Path | None, typer.Option(help="ONNX ensemble that watches the policy.")] = None,
    thresholds: Annotated[
        Path | None, typer.Option(help="Its thresholds, as `robot-mbrl calibrate monitor` wrote them.")
    ] = None,
    heartbeat: Annotated[float | None, typer.Option(help="Stop when this command is silent for so long [s].")] = None,
    guardian_bound: Annotated[
        float | None, typer.Option(help="Silence after which the guardian takes over [s]: 0.1.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="Name of this run, for `robot-mbrl stop`: arm.")] = None,
    settings: Annotated[Path | None, typer.Option(help="deploy.yaml with all of this and more; options win.")] = None,
    yes: Yes = False,
) -> None:
    """Run a policy on an arm, under the safety monitor, the guardian and the flight recorder. THIS MOVES THE ARM.

    Says what it is about to do and asks, then switches the torque on and lets the policy move the arm within the
    limits of the arm's definition. Ctrl-C, a closed terminal, or the end of any of its processes stops the arm under
    control; space or `s` is the emergency stop, and so is `robot-mbrl stop` from anywhere. On a terminal, `h` holds the
    arm and `g` goes on; after a stop, `r` resets and `g` goes on. Keep a hand on the power switch: this software is no
    certified safety system.

    A bundle brings its rate, its ensemble and its thresholds along; options for these count instead.

    Exit codes besides the usual ones: 12 a process ended, 13 the arm was stopped, 128 + N ended by signal N.
    """
    given: dict[str, Any] = {
        "session": session,
        "robot": _robot(robot, arm, port, calibration),
        "policy": policy,
        "standby": standby,
        "goal": None if goal is None else _goal(goal),
        "loop": {"rate": rate, "policy_rate": policy_rate, "heartbeat": heartbeat},
        "stop": None if stop is None else STOPS[stop],
        "park": park or None,
        "release": release or None,
        "ensemble": ensemble,
        "log": log_dir,
        "guardian_bound": guardian_bound,
    }
    deployment = with_bundle(_with_thresholds(_settings(settings, given), thresholds))
    if seconds is not None and not 0.0 < seconds < float("inf"):
        raise ConfigError(f"--seconds {seconds}: give a positive number")
    clock = MonotonicClock()
    header = check_deployment(deployment, clock)
    terminal = Terminal()
    for line in plan(deployment, header, seconds):
        terminal.tell(line)
    if not yes and not terminal.confirm("Go?"):
        raise NotReady("the arm was not moved: answer y, or give --yes")
    with PilotSeat(header.check_names, header.arm.joint_names, clock) as seat:
        supervisor = Supervisor(deployment, lambda frames: why_stopped(frames, header), seat, clock, seconds)
        ending = supervisor.run()
    if ending.code:
        # A closed terminal takes no words; the exit code still counts.
        with suppress(OSError):
            typer.echo(f"error: {ending.told}", err=True)
    raise typer.Exit(ending.code)


def plan(settings: DeploySettings, header: LogHeader, seconds: float | None) -> list[str]:
    """What is about to happen, in a few lines."""
    robot, loop = settings.robot, settings.loop
    action = f"policy {settings.policy} moves the arm" if settings.policy else "the arm holds and waits for requests"
    where = f"{robot.arm} on {robot.port}" if isinstance(robot, RobotSettings) else f"the twin of {robot.arm}"
    end = f"after {seconds:g} s" if seconds is not None else "with Ctrl-C"
    park = "moves slowly to the park pose" if settings.park else "stays where it is"
    torque = (
        "then its torque goes off: it FALLS if nothing carries it" if settings.release else "its torque as at a stop"
    )
    longest = longest_stop(header.monitor.joints)
    doubt = [f"Doubt: {_doubt(settings, header)}."] if settings.policy is not None else []
    other = f", p lets {settings.standby} act instead while held" if settings.standby is not None else ""
    return [
        f"{where}: the torque goes on, then {action}, {loop.policy_rate:g} actions and {loop.rate:g} ticks a second.",
        f"It ends {end}: the arm brakes, {park}, {torque}. A stop {ENDS[settings.stop]}.",
        f"Braking from full speed takes the goals {longest.duration * 1e3:.0f} ms and {longest.distance.max():.2f} rad "
        "at most, the arm longer, which trails them: `robot-mbrl log info` tells what each stop was to take, and took.",
        f"Emergency stop: space, s, or `robot-mbrl stop --session {settings.session}`. h holds, g goes on{other}.",
        *doubt,
        f"Flight logs go to {settings.log}.",
    ]


def _doubt(settings: DeploySettings, header: LogHeader) -> str:
    """What thresholds of doubt lead to, such as `disagreement slow 0.5, stop 1.5; residual stop 9`."""
    uncertainty = header.monitor.uncertainty
    disagreement = f"disagreement {_levels(uncertainty.disagreement)}"
    if settings.ensemble is not None:
        return f"{disagreement}; residual {_levels(uncertainty.residual)}"
    if uncertainty.disagreement is not None:
        return f"no ensemble watches; the policy's own {disagreement}, where it tells one"
    return "NOTHING judges the policy's doubt: give --ensemble and --thresholds, or a bundle that has both"


def _levels(grades: Grades | None) -> str:
    found = [f"{level} {value:.3g}" for level in LEVELS if (value := getattr(grades, level, None)) is not None]
    return ", ".join(found) or "is not judged"


def _robot(robot: str | None, arm: str | None, port: str | None, calibration: Path | None) -> AnyRobot | None:
    """The robot that the options name; None when they name none."""
    if robot == "twin":
        if port is not None:
            raise ConfigError(f"--robot twin has no port: leave out --port {port}, or --robot")
        return TwinSettings() if arm is None else TwinSettings(arm=arm)
    if robot is not None:
        if arm is not None or port is not None or calibration is not None:
            raise ConfigError(f"--robot {robot} names arm, port and calibration: leave out the other options")
        return load_settings(Path(robot), RobotSettings)
    if arm is None and port is None:
        return None
    if arm is None or port is None:
        raise ConfigError("an arm has a name and a port: give both --arm and --port, or --robot")
    return RobotSettings(arm=arm, port=port, calibration=calibration)


def _goal(text: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(number) for number in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--goal {text}: give three numbers with commas between them, such as 0.2,0.0,0.1") from error
    return x, y, z


def _with_thresholds(settings: DeploySettings, path: Path | None) -> DeploySettings:
    """`settings` with the doubt's thresholds of the file at `path`, if there is one."""
    if path is None:
        return settings
    return settings.model_copy(update={"safety": load_settings(path, MonitorThresholds).over(settings.safety)})


def _settings(path: Path | None, given: Mapping[str, Any]) -> DeploySettings:
    """What the file at `path` says, changed by the options that were `given`; None is one that was not."""
    base = DeploySettings.model_construct() if path is None else load_settings(path, DeploySettings)
    values = base.model_dump(exclude_unset=True)
    options = {name: value for name, value in given.items() if value is not None and name != "loop"}
    loop = {name: value for name, value in given["loop"].items() if value is not None}
    if "robot" not in {*values, *options}:
        raise ConfigError("deploy needs an arm: give --arm and --port, or --robot with `twin` or a robot.yaml")
    try:
        return DeploySettings.model_validate({**values, **options, "loop": {**values.get("loop", {}), **loop}})
    except ValidationError as error:
        raise ConfigError(one_line(error, "deploy")) from error
