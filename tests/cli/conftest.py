"""Emulated arms that several tests of one file share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from robot_mbrl.runtime.virtual_arm import VirtualArmProcess
from tests.cli.program import Standing, calibrate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def so101(folder: Path) -> Iterator[Standing]:
    """A calibrated SO-101, limp on its stops."""
    with VirtualArmProcess("so101_follower", link=folder / "so101") as process:
        yield calibrate(process, "so101_follower", folder / "so101.yaml")
