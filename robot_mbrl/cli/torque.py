"""`robot-mbrl torque`."""

from typing import Annotated, Literal

import typer

from robot_mbrl.cli.options import Arm, CalibrationFile, Port, Yes
from robot_mbrl.cli.terminal import Terminal
from robot_mbrl.commissioning.servo_search import UNHURRIED
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.config import RobotSettings
from robot_mbrl.contracts.errors import NotReady
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.drivers.bus import open_bus
from robot_mbrl.drivers.dialects import arm_servos, dialect_of
from robot_mbrl.drivers.serial_arm import open_arm
from robot_mbrl.drivers.torque import release


def torque(
    state: Annotated[Literal["on", "off"], typer.Argument(help="What the torque shall be.")],
    port: Port,
    arm: Arm,
    calibration: CalibrationFile = None,
    yes: Yes = False,
) -> None:
    """Switch the torque of all joints. `on` stiffens the arm where it is; `off` LETS IT FALL.

    `on` checks the arm and its calibration first. `off` needs neither: all servos are told to let go, whoever may be
    missing, then each is asked whether it did; ends with code 6 and their names when some cannot be asked.
    """
    terminal = Terminal()
    definition = load_arm(arm)
    if state == "off":
        if not yes and not terminal.confirm("The arm FALLS without torque. Is it supported?"):
            raise NotReady(f"{arm}: the torque was left as it is: support the arm and answer y, or give --yes")
        _off(definition, port)
    else:
        _on(RobotSettings(arm=arm, port=port, calibration=calibration, bus=UNHURRIED, watchdog=0.0))
    terminal.tell(f"{arm}: torque is {state.upper()}")


def _off(arm: ArmDefinition, port: str) -> None:
    bus = open_bus(port, arm.protocol, arm.baud, MonotonicClock(), UNHURRIED)
    try:
        release(bus, dialect_of(arm.protocol), arm_servos(arm))
    finally:
        bus.close()


def _on(settings: RobotSettings) -> None:
    robot = open_arm(settings, MonotonicClock())
    try:
        robot.connect()
        robot.set_torque(enabled=True)
    finally:
        robot.close()
