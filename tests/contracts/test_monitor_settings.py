"""Settings of the monitor that contradict themselves are refused, with the key, the values and the remedy."""

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from robot_mbrl.contracts.config import dump_settings, parse_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import Box, Grades, MonitorSettings, UncertaintySettings
from tests.safety.tape import SETTINGS, settings


@pytest.mark.parametrize(
    ("grades", "complaint"),
    [
        ({}, "no threshold is given"),
        ({"slow": 2, "hold": 1}, "slow = 2.0 must be below hold = 1.0"),
        ({"slow": 2, "stop": 2}, "slow = 2.0 must be below stop = 2.0"),
        ({"hold": 3, "stop": 1}, "hold = 3.0 must be below stop = 1.0"),
        ({"slow": 1, "hold": 3, "stop": 2}, "hold = 3.0 must be below stop = 2.0"),
        ({"stop": 0}, "greater than 0"),
        ({"stop": float("nan")}, "finite"),
        ({"stop": float("inf")}, "finite"),
        ({"stop": 1, "persistence": -0.1}, "greater than or equal to 0"),
        ({"stop": 1, "persist": 0.1}, "persist"),
    ],
)
def test_grades_that_make_no_sense(grades: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Grades.model_validate(grades)


def test_a_box_has_an_inside() -> None:
    with pytest.raises(ValidationError, match=r"table: low y = 1.0 must be below high y = 1.0"):
        Box(name="table", low=(0, 1, 0), high=(1, 1, 1))


def test_a_model_that_is_required_needs_its_thresholds() -> None:
    with pytest.raises(ValidationError, match="give both"):
        UncertaintySettings(required=True, disagreement=Grades(stop=1.0))


@pytest.mark.parametrize(
    ("section", "keys", "complaint"),
    [
        ("workspace", {"hold_clearance": 0.03}, "slow_clearance = 0.02 must be above hold_clearance = 0.03"),
        ("workspace", {"stop_clearance": 0.01}, "above stop_clearance = 0.01"),
        ("workspace", {"rest_clearance": 0.5}, "no less than rest_clearance = 0.5"),
        ("workspace", {"rest_clearance": 0.004}, "above stop_clearance = 0.005"),
        ("workspace", {"floor": 1.0}, "floor = 1.0 must be below the top of the box, 1.0"),
        ("workspace", {"keep_outs": [{"name": "all", "low": [-2, -2, -2], "high": [2, 2, 2]}]}, "keep-out all covers"),
        ("kinematics", {"load": {"stop": 1.5}}, "give values up to 1"),
        ("kinematics", {"window": 0}, "window"),
        ("joints", [{**SETTINGS["joints"][0], "position": [1, -1]}], r"position limits of a: 1.0 must be below -1.0"),
        ("joints", [], "joints"),
        ("hold_limit", 0, "hold_limit"),
        ("min_speed_scale", 1.0, "min_speed_scale"),
        ("unknown", 1, "unknown key unknown"),
    ],
)
def test_contradictions_are_one_line_that_names_them(section: str, keys: object, complaint: str) -> None:
    before = SETTINGS.get(section)
    changed = {**before, **keys} if isinstance(before, dict) and isinstance(keys, dict) else keys
    text = yaml.safe_dump({**SETTINGS, section: changed})
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_settings(text, MonitorSettings, "monitor.yaml")
    assert str(caught.value).startswith("monitor.yaml: ")
    assert "\n" not in str(caught.value)


def test_settings_survive_the_way_through_yaml() -> None:
    assert parse_settings(dump_settings(settings()), MonitorSettings, "monitor.yaml") == settings()
