"""`robot-mbrl deploy` with bundles: on the emulated arm and on the twin, two policies by turns, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.data.reader import read_frames
from robot_mbrl.policies.bundle import ENSEMBLE, MANIFEST, manifest_seal
from robot_mbrl.policies.bundle_manifest import POLICY
from robot_mbrl.runtime.settings import TwinSettings
from tests.cli.deployment import Deployment, deployed
from tests.cli.program import Standing, Untouched, assert_one_line, run_here
from tests.learning.task_bundles import pose_bundle
from tests.learning.trained_reach import write_run
from tests.runtime.arm_stand import robot_settings, standing_arm, stays_at_rest, until

GOAL = ("--goal", "0.2,0.0,0.1")
RATE = ("--policy-rate", "20")


@pytest.fixture(scope="module")
def so101(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing_arm(tmp_path_factory.mktemp("deploy")) as standing:
        yield standing


def parked(standing: Standing) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([joint.park_position for joint in standing.arm.joints])


def await_times(deployment: Deployment, words: str, times: int) -> None:
    """Wait until `words` were said so many times."""
    until(lambda: deployment.output().count(words) == times, f"{times} times: {words}")


def forgiving(folder: Path) -> tuple[str, str]:
    """The option for thresholds that no doubt reaches."""
    path = folder / "thresholds.yaml"
    path.write_text("uncertainty: {disagreement: {slow: 1.0e+6}}\n", encoding="utf-8")
    return "--thresholds", str(path)


def test_a_bundle_moves_the_emulated_arm_and_its_ensemble_watches(so101: Standing, tmp_path: Path) -> None:
    pose = parked(so101)
    pose[0] = 0.4
    made = pose_bundle(tmp_path / "bundle", pose, watched=True)
    flags = ("--policy", f"bundle:{made}", *GOAL, *RATE, "--seconds", "4", *forgiving(tmp_path))
    with deployed(robot_settings(so101), tmp_path, *flags) as deployment:
        deployment.await_motion(so101)
        assert deployment.end() == 0, deployment.output()
        assert "Doubt: disagreement slow 1e+06; residual is not judged." in deployment.output()
        (log,) = deployment.logs.glob("flight-*.mcap")
    stays_at_rest(so101)
    assert so101.process.control.truth().position[0] == pytest.approx(0.4, abs=0.05)
    frames = read_frames(log)
    running = frames[frames["state"] == ControlState.RUNNING]
    assert np.isfinite(running["disagreement"]).all()
    assert np.isfinite(running["residual"][-1])


def test_another_policy_takes_over_while_the_arm_is_held(tmp_path: Path) -> None:
    """From sine to bundle and back, on a terminal: hold, change, go on."""
    made = pose_bundle(tmp_path / "bundle", np.zeros(6))
    flags = ("--standby", f"bundle:{made}", *GOAL, *RATE)
    with deployed(TwinSettings(), tmp_path, *flags, terminal=True) as deployment:
        deployment.await_word("the arm is running")
        deployment.press("p")
        deployment.await_word("while the arm is held only: press h first")
        deployment.press("h")
        deployment.await_word("held; keys: g goes on, p lets the other policy act")
        deployment.press("p")
        deployment.await_word(f"policy: bundle:{made} acts from here on")
        deployment.press("p")
        deployment.await_word("swing.yaml acts from here on")
        deployment.press("g")
        await_times(deployment, "the arm is running", 2)
        deployment.press("q")
        assert deployment.end() == 0, deployment.output()


def test_planner_and_bundle_take_turns_while_the_arm_is_held(tmp_path: Path) -> None:
    made = pose_bundle(tmp_path / "bundle", np.zeros(6))
    write_run(tmp_path / "run")
    planner = tmp_path / "planner.yaml"
    planner.write_text(yaml.safe_dump({"run": "run", "goals": [[0.2, 0.0, 0.1]], "speed": 0.1}), encoding="utf-8")
    flags = ("--policy", f"pets:{planner}", "--standby", f"bundle:{made}", *GOAL, *RATE)
    with deployed(TwinSettings(), tmp_path, *flags, terminal=True) as deployment:
        deployment.await_word("the arm is running")
        for turn, name in ((1, f"bundle:{made}"), (2, f"pets:{planner}")):
            deployment.press("h")
            await_times(deployment, "held; keys: g goes on", turn)
            deployment.press("p")
            deployment.await_word(f"policy: {name} acts from here on")
            deployment.press("g")
            await_times(deployment, "the arm is running", turn + 1)
        deployment.press("q")
        assert deployment.end() == 0, deployment.output()


# -- what is refused, with the arm untouched -----------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return pose_bundle(tmp_path / "bundle", np.zeros(6))


def refused(
    standing: Standing, bundle: Path, capture: pytest.CaptureFixture[str], parts: list[str], *flags: str
) -> None:
    logs = str(bundle.parent / "logs")
    defaults = ("--policy", f"bundle:{bundle}", *GOAL, "--log-dir", logs, "--session", "test-refused", "--yes")
    with Untouched(standing):
        outcome = run_here(capture, "deploy", *standing.flags(), *defaults, *flags)
    assert_one_line(outcome, 3, *parts)
    assert outcome.out == ""


Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--policy-rate", "30"], ["acts 20 times a second", "--policy-rate 20"]),
        (["--goal", "0.2,0.1"], ["--goal 0.2,0.1", "three numbers"]),
        (["--goal", "a,b,c"], ["--goal a,b,c", "three numbers"]),
        (["--goal", "nan,0,0"], ["goal.0", "finite"]),
        (["--standby", "dance"], ["unknown policy 'dance'"]),
        (["--policy", "bundle"], ["bundle:FOLDER"]),
        (["--policy", "bundle:/none"], ["/none/manifest.json", "cannot be read"]),
    ],
)
def test_options(so101: Standing, bundle: Path, capsys: Capture, flags: list[str], parts: list[str]) -> None:
    refused(so101, bundle, capsys, parts, *flags)


def test_a_goal_that_is_missing(so101: Standing, bundle: Path, tmp_path: Path, capsys: Capture) -> None:
    flags = ("--policy", f"bundle:{bundle}", "--log-dir", str(tmp_path / "logs"), "--yes")
    with Untouched(so101):
        outcome = run_here(capsys, "deploy", *so101.flags(), *flags)
    assert_one_line(outcome, 3, "the policy observes goal", "give --goal X,Y,Z")


def test_a_policy_that_was_cut_short(so101: Standing, bundle: Path, capsys: Capture) -> None:
    (bundle / POLICY).write_bytes((bundle / POLICY).read_bytes()[:-10])
    refused(so101, bundle, capsys, [f"{bundle / POLICY}", "cut short or altered"])


def test_an_ensemble_without_thresholds(so101: Standing, tmp_path: Path, capsys: Capture) -> None:
    made = pose_bundle(tmp_path / "bundle", np.zeros(6), watched=True)
    parts = [str(made / ENSEMBLE), "stops nothing", "robot-mbrl calibrate monitor", "--thresholds FILE"]
    refused(so101, made, capsys, parts)


def test_a_bundle_for_another_arm(so101: Standing, bundle: Path, capsys: Capture) -> None:
    fields = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    fields["arm"] = "koch"
    fields["seal"] = manifest_seal(fields)
    (bundle / MANIFEST).write_text(json.dumps(fields), encoding="utf-8")
    refused(so101, bundle, capsys, ["for the arm koch", "this arm is so101"])


def test_an_altered_scale(so101: Standing, bundle: Path, capsys: Capture) -> None:
    text = (bundle / MANIFEST).read_text(encoding="utf-8")
    (bundle / MANIFEST).write_text(text.replace("0.245", "0.345", 1), encoding="utf-8")
    refused(so101, bundle, capsys, [f"{bundle / MANIFEST}", "does not match its seal"])


def test_who_stands_by_needs_somebody_to_relieve(so101: Standing, tmp_path: Path, capsys: Capture) -> None:
    flags = ("--standby", "sine", "--log-dir", str(tmp_path / "logs"), "--yes")
    with Untouched(so101):
        outcome = run_here(capsys, "deploy", *so101.flags(), *flags)
    assert_one_line(outcome, 3, "standby 'sine' has no policy to take over from")


# -- trying a bundle -----------------------------------------------------------------------------------------------


def test_a_bundle_is_tried_on_the_twin(bundle: Path, capsys: Capture) -> None:
    outcome = run_here(capsys, "eval", "bundle", str(bundle), "--episodes", "2")
    assert outcome.code == 0
    assert f"{bundle} on the twin: 0 of 2 episodes reached the goal (0%)" in outcome.out
    outcome = run_here(capsys, "eval", "bundle", str(bundle), "--episodes", "2", "--json")
    assert len(json.loads(outcome.out)["episodes"]) == 2


def test_a_bundle_that_is_none_cannot_be_tried(tmp_path: Path, capsys: Capture) -> None:
    assert_one_line(run_here(capsys, "eval", "bundle", str(tmp_path)), 3, "manifest.json: cannot be read")
