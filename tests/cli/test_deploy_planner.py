"""`robot-mbrl deploy --policy pets:FILE`: what is refused, in one line, before the arm is touched."""

from pathlib import Path

import pytest
import yaml

from tests.cli.program import assert_one_line, run_here


@pytest.mark.parametrize(
    ("policy", "parts"),
    [
        ("pets", ("policy pets needs a file", "pets:FILE")),
        ("pets:{folder}/none.yaml", ("none.yaml: cannot be read",)),
        ("pets:{folder}/planner.yaml", ("nowhere: has no settings.yaml", "training run")),
    ],
)
def test_a_planner_without_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], policy: str, parts: tuple[str, ...]
) -> None:
    settings = {"run": "nowhere", "goals": [[0.2, 0.0, 0.2]]}
    (tmp_path / "planner.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    flags = ("--robot", "twin", "--policy", policy.format(folder=tmp_path), "--policy-rate", "20", "--yes")
    assert_one_line(run_here(capsys, "deploy", *flags, "--log-dir", str(tmp_path / "logs")), 3, *parts)
    assert not (tmp_path / "logs").exists()
