"""What `robot-mbrl deploy` says of doubt before it moves an arm: what judges it, or that nothing does."""

from pathlib import Path

import pytest
import yaml

from robot_mbrl.cli.deploy import plan
from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.recorder import flight_header
from robot_mbrl.runtime.settings import DeploySettings, TwinSettings
from tests.cli.program import run
from tests.policies.synthetic_bundles import ensemble_content

ARM = load_arm("so101_follower")
NOTHING = "Doubt: NOTHING judges the policy's doubt: give --ensemble and --thresholds, or a bundle that has both."
OWN = "Doubt: no ensemble watches; the policy's own disagreement stop 1.5, where it tells one."


def doubt(**settings: object) -> list[str]:
    said = DeploySettings.model_validate({"robot": TwinSettings(), **settings})
    return [line for line in plan(said, flight_header(said), None) if line.startswith("Doubt")]


@pytest.mark.parametrize(
    ("uncertainty", "told"),
    [
        ({}, NOTHING),
        ({"residual": {"stop": 9.0}}, NOTHING),
        ({"disagreement": {"stop": 1.5}}, OWN),
    ],
)
def test_without_an_ensemble(uncertainty: dict[str, object], told: str) -> None:
    assert doubt(policy="sine", safety={"uncertainty": uncertainty}) == [told]


def test_an_arm_that_waits_for_requests_has_no_doubt_to_judge() -> None:
    assert doubt() == []


def test_a_file_of_thresholds_takes_none_away(tmp_path: Path) -> None:
    """What the arm requires stays required, and what deploy.yaml says of other quantities stays too."""
    arm = yaml.safe_load(dump_settings(ARM))
    arm["safety"]["uncertainty"] = {"required": True, "disagreement": {"stop": 1.5}, "residual": {"stop": 9.0}}
    (tmp_path / "arm.yaml").write_text(yaml.safe_dump(arm), encoding="utf-8")
    (tmp_path / "mine.onnx").write_bytes(ensemble_content(ARM.joint_names))
    content = "uncertainty: {required: false, disagreement: null, residual: {stop: 1.0e+9}}\n"
    (tmp_path / "thresholds.yaml").write_text(content, encoding="utf-8")
    settings = {
        "robot": {"kind": "twin", "arm": str(tmp_path / "arm.yaml")},
        "safety": {"uncertainty": {"disagreement": {"slow": 1}}},
    }
    (tmp_path / "deploy.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    files = {"ensemble": "mine.onnx", "thresholds": "thresholds.yaml", "settings": "deploy.yaml", "log-dir": "logs"}
    flags = [part for name, file in files.items() for part in (f"--{name}", str(tmp_path / file))]
    outcome = run(tmp_path, "deploy", "--policy", "sine", *flags, answers="n\n")
    assert outcome.code == 8, outcome
    assert "Doubt: disagreement slow 1, stop 1.5; residual stop 1e+09." in outcome.out
