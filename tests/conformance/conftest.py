"""`--harness package.module:Name` runs the suite on a driver of your own instead of the project's robots."""

from functools import partial
from importlib import import_module

import pytest

from tests.conformance.robots import lockstep, serial, twin
from tests.drivers.emulated import mirrored

ROBOTS = {
    "twin-so101": partial(twin, "so101_follower"),
    "twin-koch": partial(twin, "koch_follower"),
    "feetech-lockstep": partial(lockstep, "so101_follower"),
    "dynamixel-lockstep": partial(lockstep, "koch_follower"),
    "twin-mirrored": partial(twin, mirrored("so101_follower")),
    "feetech-mirrored": partial(lockstep, mirrored("so101_follower")),
    "dynamixel-mirrored": partial(lockstep, mirrored("koch_follower")),
    "feetech-serial": partial(serial, "so101_follower"),
    "dynamixel-serial": partial(serial, "koch_follower"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--harness`."""
    parser.addoption("--harness", help="package.module:Name of a harness to run the conformance suite on")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One set of tests a robot."""
    if "make_harness" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("--harness")
    if chosen is None:
        metafunc.parametrize("make_harness", list(ROBOTS.values()), ids=list(ROBOTS))
        return
    module, _, name = str(chosen).partition(":")
    metafunc.parametrize("make_harness", [getattr(import_module(module), name)], ids=[name])
