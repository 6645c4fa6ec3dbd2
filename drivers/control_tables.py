"""The control table of each servo model that arm definitions may name."""

from typing import Final

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.dynamixel.x_series import XL330_M077, XL330_M288, XL430_W250
from robot_mbrl.drivers.feetech.sts3215 import STS3215
from robot_mbrl.drivers.registers import ControlTable

CONTROL_TABLES: Final = {table.servo: table for table in (STS3215, XL330_M077, XL330_M288, XL430_W250)}
"""By the servo's name."""


def control_table(servo: str) -> ControlTable:
    """The control table of a servo.

    Raises:
        ConfigError: no such servo is known.
    """
    if servo not in CONTROL_TABLES:
        raise ConfigError(f"unknown servo {servo!r}: give one of {', '.join(CONTROL_TABLES)}")
    return CONTROL_TABLES[servo]
