"""Emulated servos on a bench."""

import pytest

from tests.drivers.virtual.dynamixel_bench import Dynamixel
from tests.drivers.virtual.feetech_bench import Feetech


@pytest.fixture
def one() -> Feetech:
    """One servo, ID 1, at tick 2048."""
    return Feetech("so101_follower", servos=1)


@pytest.fixture
def koch() -> Dynamixel:
    """Two XL430 and four XL330 at tick 2048, position mode."""
    return Dynamixel("koch_follower")
