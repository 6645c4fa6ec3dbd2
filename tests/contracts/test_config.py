"""Settings: frozen, strict about keys, and one line about what is wrong."""

from pathlib import Path
from typing import Self

import pytest
from pydantic import ValidationError, model_validator

from robot_mbrl.contracts.config import (
    BusSettings,
    RobotSettings,
    Settings,
    dump_settings,
    load_settings,
    merged,
    parse_settings,
)
from robot_mbrl.contracts.errors import ConfigError

GOOD = "arm: so101_follower\nport: /dev/ttyACM0\nbus: {retries: 1}\n"


def test_settings_come_back_from_yaml_as_they_were() -> None:
    settings = parse_settings(GOOD, RobotSettings, "robot.yaml")
    assert settings.bus.retries == 1
    assert parse_settings(dump_settings(settings), RobotSettings, "again") == settings


def test_changes_go_into_mappings_and_replace_those_of_another_kind() -> None:
    base = {"horizon": 20, "optimizer": {"kind": "icem", "scouts": 32, "population": 72}}
    same = merged(base, {"optimizer": {"population": 40}})
    assert same == {"horizon": 20, "optimizer": {"kind": "icem", "scouts": 32, "population": 40}}
    assert merged(base, {"optimizer": {"kind": "mppi"}}) == {"horizon": 20, "optimizer": {"kind": "mppi"}}
    assert base["optimizer"] == {"kind": "icem", "scouts": 32, "population": 72}


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        BusSettings.__setattr__(BusSettings(), "retries", 5)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD + "colour: red\n", "unknown key colour"),
        (GOOD.replace("retries", "retires"), "unknown key bus.retires"),
        (GOOD.replace("1}", "-1}"), "bus.retries = -1"),
        (GOOD.replace("retries: 1", "margin: .nan"), "bus.margin"),
        (GOOD.replace("port: /dev/ttyACM0\n", ""), "port is missing"),
        ("- a\n- b\n", "expected a mapping"),
        ("a: [", "not valid YAML"),
        ("a: !!python/object/apply:os.system [true]\n", "not valid YAML"),
    ],
)
def test_bad_settings_are_told_in_one_line_with_their_key(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, RobotSettings, "robot.yaml")
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("robot.yaml: ")
    assert "\n" not in str(caught.value)


class Range(Settings):
    """Two keys that must agree."""

    low: float
    high: float

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low = {self.low} must be below high = {self.high}")
        return self


class Ranges(Settings):
    """A part with keys that must agree."""

    first: Range


def test_a_complaint_about_several_keys_leaves_out_all_the_others() -> None:
    with pytest.raises(ConfigError, match=r"^a\.yaml: low = 2\.0 must be below high = 1\.0$"):
        parse_settings("{low: 2, high: 1}", Range, "a.yaml")
    with pytest.raises(ConfigError, match=r"^a\.yaml: first: low = 2\.0 must be below high = 1\.0$"):
        parse_settings("first: {low: 2, high: 1}", Ranges, "a.yaml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        load_settings(tmp_path / "none.yaml", RobotSettings)
