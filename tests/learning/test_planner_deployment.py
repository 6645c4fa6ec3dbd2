"""`pets:FILE`: a trained run on the emulated arm under the real monitor, and files that do not fit the arm."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import FloatArray, VerdictLevel
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.learning.planner_deployment import ReachOnArm, narrowed
from robot_mbrl.learning.task_models_arm import ReachModel
from robot_mbrl.learning.trained_run import load_run
from robot_mbrl.policies.joint_space import JointSpace
from robot_mbrl.policies.planner_policy import PlannerPolicy
from robot_mbrl.policies.registry import build_policy
from robot_mbrl.runtime.lockstep_flight import LockstepFlight
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from robot_mbrl.sim.geometry import MujocoGeometry
from robot_mbrl.sim.tasks.reach import ReachTask
from robot_mbrl.sim.truth import nominal_truth
from tests.learning.trained_reach import write_run

ARM = load_arm("so101_follower")
START: FloatArray = np.array([0.0, -0.9, 0.8, 0.6, 0.0, 0.5])
GOAL = [0.22, 0.12, 0.2]
SETTINGS = DeploySettings(robot=TwinSettings(), loop=LoopSettings(rate=100.0, policy_rate=20.0))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("reach") / "run")


@pytest.fixture(scope="module")
def geometry() -> MujocoGeometry:
    return MujocoGeometry(ARM)


def write_file(folder: Path, **settings: object) -> str:
    (folder / "planner.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return f"pets:{folder / 'planner.yaml'}"


def flight(geometry: MujocoGeometry) -> LockstepFlight:
    return LockstepFlight(ARM, nominal_truth(ARM), START, SETTINGS, build_monitor(ARM, geometry))


def test_it_brings_the_tool_to_its_goal_under_the_monitor(run: Path, geometry: MujocoGeometry, tmp_path: Path) -> None:
    arm = flight(geometry)
    policy = build_policy(write_file(tmp_path, run=str(run), goals=[GOAL], speed=0.15), arm.space())
    assert isinstance(policy, PlannerPolicy)
    frames = arm.fly(policy, 3.0)
    assert arm.loop.state in {ControlState.RUNNING, ControlState.SLOWED}, arm.reports
    assert frames["verdict"].max() <= VerdictLevel.SLOW
    tools = [geometry.tool_position(frame["position"][:6]) for frame in frames[-150::10]]
    start = float(np.linalg.norm(geometry.tool_position(START) - GOAL))
    left = [float(np.linalg.norm(tool - GOAL)) for tool in tools]
    assert start > 0.1
    assert np.median(left) < 0.6 * start
    assert min(left) < 0.35 * start
    running = frames[frames["state"] == ControlState.RUNNING]
    assert np.isfinite(running["policy_disagreement"]).all()
    assert (running["policy_disagreement"] > 0.0).all()


def test_the_arms_state_is_the_tasks_observation(run: Path) -> None:
    trained = load_run(run)
    model = trained.task.model
    assert isinstance(model, ReachModel)
    arm = ReachOnArm(model, trained.ensemble, speed=1.0)
    observation, _ = trained.task.environment.reset(seed=4)
    layout = model.task.layout
    parts = {name: layout.part(observation, name) for name in ("joints", "velocities", "targets", "goal")}
    state = arm.state(parts["joints"], parts["velocities"], parts["targets"], parts["goal"])
    np.testing.assert_allclose(state, observation, atol=1e-6)
    assert arm.period == 0.05
    targets = np.array([0.1, -0.2, 0.3, 0.0, 0.0, 0.2])
    action = np.linspace(-0.8, 0.8, 6).astype(np.float32)
    np.testing.assert_allclose(arm.action(targets, arm.next_targets(targets, action)), action, atol=1e-6)


def space(geometry: MujocoGeometry) -> JointSpace:
    return flight(geometry).space()


def test_what_does_not_fit_the_arm_is_refused(run: Path, geometry: MujocoGeometry, tmp_path: Path) -> None:
    here = space(geometry)
    fits = write_file(tmp_path, run=str(run), goals=[GOAL])
    assert isinstance(build_policy(fits, here), PlannerPolicy)
    with pytest.raises(ConfigError, match=r"is of so101_follower with shoulder_pan, .* this arm is a koch with a, b"):
        build_policy(fits, replace(here, arm="koch", names=("a", "b")))
    with pytest.raises(ConfigError, match=r"has position limits \[\[-1\.\d+, .* rad, this arm \[\[-0\.\d+, "):
        build_policy(fits, replace(here, position_limits=0.5 * here.position_limits))
    with pytest.raises(ConfigError, match=r"has top speeds \[.* rad/s, this arm \["):
        build_policy(fits, replace(here, velocity_limits=0.5 * here.velocity_limits))
    with pytest.raises(ConfigError, match="give --policy-rate 20"):
        build_policy(fits, replace(here, period=1.0 / 30.0))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"goals": [GOAL]}, "run is missing"),
        ({"run": "nowhere", "goals": [GOAL]}, "has no settings.yaml: give the folder of a training run"),
        ({"run": "{run}"}, "no goal: give goals in its file, or --goal"),
        ({"run": "{run}", "goals": [[0.1, 0.2]]}, r"goals\.0\.2 is missing"),
        ({"run": "{run}", "goals": [[9.0, 0.0, 0.0]]}, "less than or equal to 2"),
        ({"run": "{run}", "goals": [GOAL], "speed": 0.0}, "speed = 0.0"),
        ({"run": "{run}", "goals": [GOAL], "haste": 1}, "unknown key haste"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_one_line(
    run: Path, geometry: MujocoGeometry, tmp_path: Path, settings: dict[str, object], match: str
) -> None:
    filled = {name: str(run) if value == "{run}" else value for name, value in settings.items()}
    with pytest.raises(ConfigError, match=match) as caught:
        build_policy(write_file(tmp_path, **filled), space(geometry))
    assert "\n" not in str(caught.value)


def test_a_file_is_needed(geometry: MujocoGeometry) -> None:
    with pytest.raises(ConfigError, match="give pets:FILE"):
        build_policy("pets", space(geometry))


def test_the_example_is_a_file_of_ours(run: Path, geometry: MujocoGeometry, tmp_path: Path) -> None:
    example = yaml.safe_load((Path(__file__).parents[2] / "examples" / "so101_reach.yaml").read_text(encoding="utf-8"))
    policy = build_policy(write_file(tmp_path, **{**example, "run": str(run)}), space(geometry))
    assert isinstance(policy, PlannerPolicy)
    for goal in example["goals"]:
        assert 0.1 < np.linalg.norm(goal) < 0.4


def test_targets_outside_the_plans_limits_come_back_step_by_step(run: Path) -> None:
    half = narrowed(ARM, {"elbow_flex": (-1.0, 1.0)}, "test")
    arm = ReachOnArm(ReachModel(ReachTask(half)), load_run(run).ensemble, speed=0.1)
    targets = np.array([0.0, 0.0, 1.5, 0.0, 0.0, 0.0])
    for _ in range(100):
        after = arm.next_targets(targets, np.zeros(6, np.float32))
        assert np.abs(after - targets).max() <= 0.1 * arm.step[2] + 1e-12
        targets = after
    assert targets[2] == 1.0


@pytest.mark.parametrize("limits", [{"elbow": (0.0, 1.0)}, {"elbow_flex": (1.0, 0.0)}, {"elbow_flex": (0.0, 9.0)}])
def test_limits_that_are_no_part_of_the_arms_are_refused(limits: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(ConfigError, match=r"planner\.yaml"):
        narrowed(ARM, limits, "planner.yaml")
