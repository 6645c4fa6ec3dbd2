"""`robot-mbrl virtual-arm`."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from robot_mbrl.cli.options import Arm
from robot_mbrl.contracts.config import one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.runtime.virtual_arm import VirtualArmSettings, serve_virtual_arm


def virtual_arm(  # noqa: PLR0913  (each option of a command is an argument)
    *,
    link: Annotated[Path, typer.Option(help="Path that clients open as their serial port; PATH.ctl is the control.")],
    arm: Arm = "so101_follower",
    truth: Annotated[Path | None, typer.Option(help="YAML file with the arm's physical parameters.")] = None,
    seed: Annotated[int | None, typer.Option(help="Draw the physical parameters from this seed instead.")] = None,
    scenario: Annotated[Path | None, typer.Option(help="YAML file with faults and their times.")] = None,
    usb_latency: Annotated[float, typer.Option(help="The adapter hands over every so many s; FTDI: 0.016.")] = 0.0,
    turnaround: Annotated[float, typer.Option(help="What a servo needs before it answers [s].")] = 95e-6,
    unpaced: Annotated[bool, typer.Option("--unpaced", help="Bytes and answers take no time, for benchmarks.")] = False,
    state: Annotated[Path | None, typer.Option(help="File that keeps the servos' EEPROM from run to run.")] = None,
    payload: Annotated[float | None, typer.Option(help="Mass at the tool [kg]; the default is the truth's.")] = None,
    factory: Annotated[bool, typer.Option("--factory", help="Servos as they come: one ID, not connected.")] = False,
    connected: Annotated[
        list[str] | None, typer.Option(help="Joint name or ID whose servo is on the bus; may be repeated.")
    ] = None,
    priority: Annotated[int, typer.Option(help="Of SCHED_FIFO, 1..99, for a busy computer; 0 asks for none.")] = 0,
) -> None:
    """Be an emulated arm on a serial port of its own, in real time, with physics, until Ctrl-C.

    Touches no hardware. Faults can be made while it runs: one JSON object a line on the socket PATH.ctl, such as
    {"fault": "stuck", "servo": "elbow_flex", "duration": 2}; {"command": "truth"} tells where the joints really are.
    """
    try:
        settings = VirtualArmSettings(
            arm=arm,
            link=link,
            truth=truth,
            seed=seed,
            scenario=scenario,
            usb_latency=usb_latency,
            turnaround=turnaround,
            paced=not unpaced,
            state=state,
            payload=payload,
            factory=factory,
            connected=None if connected is None else tuple(connected),
            priority=priority,
        )
    except ValidationError as error:
        raise ConfigError(one_line(error, "virtual-arm")) from error
    serve_virtual_arm(settings, announce=typer.echo, report=lambda line: typer.echo(line, err=True))
