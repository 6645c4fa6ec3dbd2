"""A Dreamer's run becomes a bundle that acts as the Dreamer does."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.learning import dreamer_export
from robot_mbrl.learning.dreamer_export import DreamerStep, export_run
from robot_mbrl.learning.onnx_export import largest_difference
from robot_mbrl.learning.sequence_learner import Latent
from robot_mbrl.learning.task_identity import TASK
from robot_mbrl.policies.bundle import read_bundle
from robot_mbrl.policies.bundle_manifest import POLICY
from robot_mbrl.policies.onnx_policy import load_policy
from robot_mbrl.policies.onnx_step import OnnxStep
from robot_mbrl.runtime.policy_process import joint_space
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from robot_mbrl.sim.tasks import make_task
from tests.learning.dreamer_runs import SPEED, copied_arm, lively_learner, slow_down, write_run


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a run on reach."""
    folder = tmp_path_factory.mktemp("dreamer")
    write_run(folder / "run")
    export_run(folder / "run", folder / "bundle", parity_steps=300)
    return folder / "bundle"


def test_a_thousand_recurrent_steps_are_torchs(exported: Path) -> None:
    step = OnnxStep(read_bundle(exported))
    network = DreamerStep(lively_learner().dreamer.model)
    assert largest_difference(network, step, 1000, np.random.default_rng(5)) < 1e-4


def test_actions_use_their_range(exported: Path) -> None:
    """Else the comparison would be one of zeros."""
    step, random = OnnxStep(read_bundle(exported)), np.random.default_rng(0)
    largest = 0.0
    for _ in range(20):
        step.observation[:] = random.standard_normal(step.observation.shape)
        step.step()
        largest = max(largest, float(np.abs(step.action).max()))
    assert largest > 0.5


@pytest.mark.parametrize("spoilt", [math.nan, math.inf])
def test_what_is_no_number_comes_out_as_none_until_a_reset(exported: Path, spoilt: float) -> None:
    """The class that is drawn in the middle must not make a number of it: the monitor would not know."""
    step = OnnxStep(read_bundle(exported))
    step.step()
    step.observation[3] = spoilt
    step.step()
    assert not np.isfinite(step.action).any()
    step.observation[3] = 0.0
    step.step()
    assert not np.isfinite(step.action).any()
    step.reset()
    step.step()
    assert np.isfinite(step.action).all()


def test_the_bundle_acts_as_evaluations_do(exported: Path) -> None:
    """`DreamerLearner.act` without exploring, with a restart under way: flags and previous actions in their places."""
    learner, step, random = lively_learner(), OnnxStep(read_bundle(exported)), np.random.default_rng(1)
    latent: Latent = learner.initial(1)
    action = np.zeros((1, 6), np.float32)
    for index in range(12):
        is_first = index in {0, 7}
        if is_first:
            step.reset()
        seen = random.standard_normal((1, step.observation.size)).astype(np.float32)
        action, latent = learner.act(latent, seen, action, np.array([is_first]), explore=False)
        step.observation[:] = seen[0]
        step.step()
        np.testing.assert_allclose(step.action, action[0], atol=1e-5)
        np.testing.assert_allclose(step.states[0], latent.deter, atol=1e-5)
        np.testing.assert_array_equal(step.states[1].round(), latent.stoch.round())


def test_the_manifest_tells_what_there_is_to_know(exported: Path) -> None:
    manifest, task = read_bundle(exported).manifest, make_task("reach")
    assert (manifest.learner, manifest.arm, manifest.task.name) == ("dreamer", "so101", "reach")
    assert manifest.joint_names == task.arm.joint_names
    assert [joint.action_scale for joint in manifest.joints] == (SPEED * task.action_scale).tolist()
    assert manifest.observation_size == task.layout.size
    assert manifest.training["task"] == "reach"
    assert "so101_follower" in manifest.data
    assert {state.name for state in manifest.states} == {"deter", "stoch", "action"}


def test_the_manifest_tells_of_the_runs_before(tmp_path: Path) -> None:
    """A run that began with another's networks, which began with those of one that is gone."""
    for name, start in (("first", tmp_path / "gone"), ("second", tmp_path / "first")):
        write_run(tmp_path / name)
        settings = tmp_path / name / "settings.yaml"
        fields = yaml.safe_load(settings.read_text(encoding="utf-8"))
        settings.write_text(yaml.safe_dump(fields | {"start": str(start)}), encoding="utf-8")
    export_run(tmp_path / "second", tmp_path / "bundle", parity_steps=5)
    manifest = read_bundle(tmp_path / "bundle").manifest
    before = manifest.training["begun_with"]
    assert isinstance(before, list)
    assert [run["start"] for run in before if isinstance(run, dict)] == [str(tmp_path / "gone")]
    assert "begun with the networks of a run of " in manifest.data
    assert manifest.data.endswith(f"begun with the networks of {tmp_path / 'gone'}, which is not there any more")


def test_it_runs_on_the_arm_it_was_trained_for_and_on_no_other(exported: Path) -> None:
    settings = DeploySettings(robot=TwinSettings(), goal=(0.2, 0.0, 0.1), loop=LoopSettings(policy_rate=20.0))
    load_policy(exported, joint_space(load_arm("so101_follower"), settings, ManualClock()))
    with pytest.raises(ConfigError, match=r"for the arm so101 with .*: this arm is koch"):
        load_policy(exported, joint_space(load_arm("koch_follower"), settings, ManualClock()))


@pytest.mark.parametrize(
    ("task", "best", "match"),
    [
        ("dm_control:reacher-easy", True, "was trained on dm_control:reacher-easy, which no arm can do"),
        ("reach", False, "the run has no evaluation yet"),
    ],
)
def test_runs_that_cannot_be_exported(tmp_path: Path, task: str, best: bool, match: str) -> None:
    write_run(tmp_path / "run", task, best)
    with pytest.raises(ConfigError, match=match):
        export_run(tmp_path / "run", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_run_of_an_arm_that_was_defined_anew_is_not_exported(tmp_path: Path) -> None:
    """The manifest would give the policy's actions the size that they have on the arm of today."""
    arm = copied_arm(tmp_path)
    write_run(tmp_path / "run", arm=str(arm))
    slow_down(arm)
    with pytest.raises(ConfigError, match="was trained with action_scale"):
        export_run(tmp_path / "run", tmp_path / "bundle")
    (tmp_path / "run" / TASK).unlink()
    with pytest.raises(ConfigError, match="only it says which arm"):
        export_run(tmp_path / "run", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_no_run_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no settings\.yaml: give the folder of a training run"):
        export_run(tmp_path, tmp_path / "bundle")


def test_a_bundle_is_not_written_over(tmp_path: Path, exported: Path) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        export_run(tmp_path, exported)


def test_a_policy_that_is_another_one_in_onnxruntime_is_not_written(
    tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "run", seed=1)
    other = (exported / POLICY).read_bytes()
    monkeypatch.setattr(dreamer_export, "export_dreamer", lambda _: other)
    with pytest.raises(ConfigError, match=r"differs from torch's by .* within 50 steps, limit 0\.0001: nothing was"):
        export_run(tmp_path / "run", tmp_path / "bundle", parity_steps=50)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
