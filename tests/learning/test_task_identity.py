"""What the numbers of a run mean: kept beside it, and compared before they are used."""

from pathlib import Path

import pytest
import yaml

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.task_identity import TASK, begin_identity, identity_of, require_identity
from robot_mbrl.learning.tasks import make_learning_task
from robot_mbrl.learning.trained_run import load_run
from tests.learning.trained_reach import write_run

SO101 = Path(__file__).parents[2] / "drivers" / "arms" / "so101_follower.yaml"


def test_an_arm_s_task_names_joints_limits_and_actions() -> None:
    found = identity_of(make_learning_task("reach"))
    assert found.joints[:2] == ("shoulder_pan", "shoulder_lift")
    assert len(found.position_limits) == len(found.action_scale) == 6
    # Full speed, 4.9 rad/s, for one period of 0.05 s.
    assert found.action_scale[0] == pytest.approx(0.245)


def test_a_task_without_an_arm_has_its_name_and_repeat() -> None:
    found = identity_of(make_learning_task("dm_control:reacher-easy", repeat=4))
    assert (found.task, found.repeat, found.joints) == ("dm_control:reacher-easy", 4, ())
    assert found != identity_of(make_learning_task("dm_control:reacher-hard", repeat=4))


def test_a_run_that_goes_on_is_compared(tmp_path: Path) -> None:
    reach, pendulum = (identity_of(make_learning_task(name)) for name in ("reach", "gymnasium:Pendulum-v1"))
    begin_identity(tmp_path, reach)
    begin_identity(tmp_path, reach)
    with pytest.raises(ConfigError, match="was trained with task reach, here it is gymnasium:Pendulum-v1"):
        begin_identity(tmp_path, pendulum)


def test_a_damaged_or_missing_identity_is_refused(tmp_path: Path) -> None:
    reach = identity_of(make_learning_task("reach"))
    with pytest.raises(ConfigError, match="only it says which arm"):
        require_identity(tmp_path, reach)
    (tmp_path / TASK).write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="copy the run folder again"):
        require_identity(tmp_path, reach)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_run_is_refused_when_its_arm_s_definition_was_changed(tmp_path: Path) -> None:
    """Slower joints make an action of 1 a smaller step: what was learned means something else."""
    arm = tmp_path / "my_arm.yaml"
    arm.write_text(SO101.read_text(encoding="utf-8"), encoding="utf-8")
    run = write_run(tmp_path / "run", str(arm))
    assert load_run(run).settings.arm == str(arm)
    first = yaml.safe_load(arm.read_text(encoding="utf-8"))["joints"][0]
    change(arm, f"velocity_limit: {first['velocity_limit']}", f"velocity_limit: {first['velocity_limit'] / 2.0}")
    with pytest.raises(ConfigError, match="was trained with action_scale"):
        load_run(run)
