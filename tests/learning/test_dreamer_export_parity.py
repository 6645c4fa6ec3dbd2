"""A Dreamer whose bundle gives numbers that are not finite is not exported."""

import math
from pathlib import Path

import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning import dreamer_export
from tests.learning.dreamer_runs import write_run


def test_a_policy_that_is_not_finite_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "run")
    monkeypatch.setattr(dreamer_export, "largest_difference", lambda *_: math.inf)
    with pytest.raises(
        ConfigError, match=r"within 50 random steps .* not finite: nothing was exported; take"
    ) as caught:
        dreamer_export.export_run(tmp_path / "run", tmp_path / "bundle", parity_steps=50)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
