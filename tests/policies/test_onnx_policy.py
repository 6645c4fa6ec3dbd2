"""`OnnxPolicy` on a graph whose answers are worked out by hand, and all that it refuses to start with."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose
from onnx import helper, numpy_helper

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.bundle import read_bundle
from robot_mbrl.policies.bundle_manifest import ObservationField
from robot_mbrl.policies.joint_space import OBSERVED
from robot_mbrl.policies.onnx_policy import LEAD, OnnxPolicy
from robot_mbrl.policies.onnx_step import OnnxStep
from robot_mbrl.policies.registry import build_policy
from tests.policies.synthetic_bundles import (
    ARM,
    GAIN,
    SCALES,
    SIZE,
    description,
    graph_model,
    make_bundle,
    policy_model,
    space,
    tensor,
)


def observation(
    position: tuple[float, float] = (0.0, 0.0), goal: tuple[float, float] = (0.0, 0.0), **more: FloatArray
) -> dict[str, FloatArray]:
    """A standing arm whose servos hold `position`."""
    return {
        "time": np.zeros(1),
        "position": np.array(position),
        "velocity": np.zeros(2),
        "commanded": np.array(position),
        "goal": np.array([*goal, 0.0]),
        **more,
    }


def policy(folder: Path, **changes: Any) -> OnnxPolicy:
    return OnnxPolicy(read_bundle(make_bundle(folder / "bundle", **changes)), space())


def echo(field: int, size: int = 2) -> onnx.ModelProto:
    """A policy without memory whose action is the observation from `field` on, and the value what follows it."""
    choose = np.zeros((SIZE, 2), np.float32)
    choose[[field, field + 1], [0, 1]] = 1.0
    last = np.zeros((SIZE, 1), np.float32)
    last[field + size - 1] = 1.0
    nodes = [
        helper.make_node("MatMul", ["observation", "choose"], ["action"]),
        helper.make_node("MatMul", ["observation", "last"], ["column"]),
        helper.make_node("Reshape", ["column", "flat"], ["doubt"]),
    ]
    outputs = [tensor("action", 1, 2), tensor("doubt", 1)]
    flat = np.array([1], np.int64)
    return graph_model(nodes, [tensor("observation", 1, SIZE)], outputs, choose=choose, last=last, flat=flat)


def test_the_action_changes_the_targets_by_its_scales(tmp_path: Path) -> None:
    """Ways (0.6, -0.4) and 1.2, -0.8 after two steps: actions of 0.3 and -0.2, then 0.6 and -0.4."""
    running = policy(tmp_path)
    first = running.act(observation(goal=(0.6, -0.4)))
    assert_allclose(first.position, [0.1 * 0.3, 0.05 * -0.2], atol=1e-7)
    second = running.act(observation(goal=(0.6, -0.4)))
    assert_allclose(second.position, [0.1 * 0.9, 0.05 * -0.6], atol=1e-7)


def test_a_reset_forgets_what_was_remembered(tmp_path: Path) -> None:
    running = policy(tmp_path)
    first = running.act(observation(goal=(0.6, -0.4)))
    running.act(observation(goal=(0.2, 0.1)))
    running.reset()
    again = running.act(observation(goal=(0.6, -0.4)))
    assert_allclose(again.position, first.position, rtol=0.0, atol=0.0)


def test_a_reset_takes_up_the_goals_that_the_servos_hold(tmp_path: Path) -> None:
    running = policy(tmp_path)
    running.act(observation(goal=(0.6, -0.4)))
    running.reset()
    moved = running.act(observation(position=(0.5, 0.2), goal=(0.5, 0.2)))
    assert_allclose(moved.position, [0.5, 0.2], atol=1e-7)


def test_the_first_step_of_all_is_a_first_step(tmp_path: Path) -> None:
    """The warm-up leaves nothing behind."""
    step = OnnxStep(read_bundle(make_bundle(tmp_path / "bundle")))
    step.observation[9] = 1.0
    step.step()
    assert_allclose(step.action, [GAIN, 0.0])
    assert_allclose(step.value, [1.0])
    step.step()
    assert_allclose(step.action, [2.0 * GAIN, 0.0])


def test_a_state_that_is_not_finite_does_not_outlive_a_reset(tmp_path: Path) -> None:
    step = OnnxStep(read_bundle(make_bundle(tmp_path / "bundle")))
    step.observation[9] = math.nan
    step.step()
    assert not np.isfinite(step.action).all()
    step.reset()
    step.observation[9] = 1.0
    step.step()
    assert_allclose(step.action, [GAIN, 0.0])


@pytest.mark.parametrize(
    ("field", "first_step", "second_step"),
    [
        ("position", (0.3, -0.2), (0.3, -0.2)),
        ("velocity", (0.5, 0.25), (0.5, 0.25)),
        ("targets", (0.1, 0.2), (0.1 + 0.01, 0.2 + 0.01)),
        ("goal", (0.7, -0.7), (0.7, -0.7)),
    ],
)
def test_each_field_lies_where_the_manifest_says(
    tmp_path: Path, field: str, first_step: tuple[float, float], second_step: tuple[float, float]
) -> None:
    """An echo of one field: the action is the field itself, so that targets move by it times the scales."""
    places = {"position": 0, "velocity": 2, "targets": 4, "goal": 9}
    running = OnnxPolicy(
        read_bundle(make_bundle(tmp_path / "bundle", model=echo(places[field]), states=(), tool=ARM)), space()
    )
    given = observation(
        position=(0.3, -0.2), goal=(0.7, -0.7), velocity=np.array([0.5, 0.25]), commanded=np.array([0.1, 0.2])
    )
    targets = np.array([0.1, 0.2])
    for expected in (first_step, second_step):
        targets = targets + np.array(SCALES) * expected
        assert_allclose(running.act(given).position, targets, atol=1e-7)


def test_the_tools_place_comes_from_the_chain_in_the_manifest(tmp_path: Path) -> None:
    """Half a right angle about z: 0.5 m away in x and y, 0.1 m high; the last number is told as doubt here."""
    running = policy(tmp_path, model=echo(6, size=3), states=(), tool=ARM)
    action = running.act(observation(position=(math.pi / 4, 0.0)))
    reach = 0.5 * math.sqrt(0.5)
    assert_allclose(action.position, [math.pi / 4 + 0.1 * reach, 0.05 * reach], atol=1e-7)
    assert action.disagreement == pytest.approx(0.1)


def test_actions_beyond_their_range_and_targets_beyond_the_limits_are_cut(tmp_path: Path) -> None:
    running = policy(tmp_path, model=echo(9), states=())
    for _ in range(2):
        position = running.act(observation(position=(0.95, -0.4), goal=(50.0, -50.0))).position
    assert_allclose(position, [1.0, -0.5])


def test_targets_do_not_run_away_from_an_arm_that_is_held(tmp_path: Path) -> None:
    running = policy(tmp_path, model=echo(9), states=())
    for _ in range(20):
        position = running.act(observation(position=(0.0, 0.0), goal=(1.0, -1.0))).position
    assert_allclose(position, LEAD * np.array([SCALES[0], -SCALES[1]]), rtol=1e-6)


def test_the_policys_own_doubt_and_expiry_are_told(tmp_path: Path) -> None:
    clock = ManualClock()
    clock.advance(1.0)
    running = OnnxPolicy(read_bundle(make_bundle(tmp_path / "bundle")), space(clock=clock))
    action = running.act(observation(goal=(0.6, -0.4)))
    assert action.disagreement == pytest.approx(0.2)
    assert action.expires_ns == 1_150_000_000


def test_actions_do_not_overwrite_each_other(tmp_path: Path) -> None:
    running = policy(tmp_path)
    first = running.act(observation(goal=(0.6, -0.4))).position
    kept = first.copy()
    running.act(observation(goal=(-0.6, 0.4)))
    assert_allclose(first, kept, rtol=0.0, atol=0.0)


# -- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"arm": "koch"}, r"for the arm two_joints with pan, lift: this arm is koch with pan, lift"),
        ({"names": ("lift", "pan")}, r"this arm is two_joints with lift, pan"),
        ({"names": ("pan", "elbow")}, r"this arm is two_joints with pan, elbow"),
        (
            {"position_limits": np.array([[-0.9, 1.0], [-0.5, 0.5]])},
            r"pan was trained within -1\.0\.\.1\.0 rad, beyond this arm's -0\.9\.\.1\.0 rad",
        ),
        ({"velocity_limits": np.array([2.0, 0.5])}, r"lift was trained to move at 1 rad/s, this arm's limit is 0\.5"),
        ({"period": 1.0 / 30.0}, r"acts 20 times a second, this deployment asks it 30 times: give --policy-rate 20"),
        ({"observed": OBSERVED}, r"observes goal, this deployment only time, .*: give --goal X,Y,Z"),
    ],
)
def test_another_arm_rate_or_deployment(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    made = make_bundle(tmp_path / "bundle")
    with pytest.raises(ConfigError, match=match) as caught:
        build_policy(f"bundle:{made}", space(**changes))
    assert "\n" not in str(caught.value)
    assert str(made) in str(caught.value)


def test_an_arm_that_may_do_more_is_no_other_arm(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "bundle")
    build_policy(f"bundle:{made}", space(velocity_limits=np.array([9.0, 9.0])))


def test_scales_that_are_faster_than_the_limit_they_claim(tmp_path: Path) -> None:
    joints = tuple(joint.model_copy(update={"action_scale": 1.0}) for joint in description().joints)
    made = make_bundle(tmp_path / "bundle", joints=joints)
    with pytest.raises(ConfigError, match=r"pan was trained to move at 20 rad/s, this arm's limit is 2 rad/s"):
        build_policy(f"bundle:{made}", space())


def test_a_field_that_nothing_observes(tmp_path: Path) -> None:
    fields = [
        field.model_copy(update={"name": "camera"} if field.name == "goal" else {})
        for field in description().observation
    ]
    made = make_bundle(tmp_path / "bundle", observation=tuple(fields))
    with pytest.raises(ConfigError, match=r"observes camera, this deployment only .*: give a policy that does without"):
        build_policy(f"bundle:{made}", space())


@pytest.mark.parametrize("name", ["goal", "position", "velocity", "commanded"])
def test_an_observation_without_a_field(tmp_path: Path, name: str) -> None:
    running = policy(tmp_path)
    given = observation()
    del given[name]
    with pytest.raises(ConfigError, match=rf"observes '{name}', which is missing: there are time"):
        running.act(given)


@pytest.mark.parametrize("name", ["goal", "position", "velocity", "commanded"])
def test_an_observation_of_another_size(tmp_path: Path, name: str) -> None:
    running = policy(tmp_path)
    with pytest.raises(ConfigError, match=rf"observed '{name}' has shape \(1,\): give"):
        running.act(observation() | {name: np.zeros(1)})


def test_a_graph_that_does_not_run(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = "NoSuchOperator"

    made = make_bundle(tmp_path / "bundle", change=change)
    with pytest.raises(ConfigError, match=r"policy\.onnx: onnxruntime cannot run it") as caught:
        build_policy(f"bundle:{made}", space())
    assert "\n" not in str(caught.value)


def test_a_graph_that_answers_nonsense(tmp_path: Path) -> None:
    """Finite weights, and a division by zero."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.node[4].op_type = "Div"
        model.graph.node[4].input[1] = "observation_sum"
        model.graph.node.insert(0, helper.make_node("ReduceSum", ["observation", "axis"], ["observation_sum"]))

    made = make_bundle(tmp_path / "bundle", change=change)
    with pytest.raises(ConfigError, match=r"policy\.onnx: answers to zeros with numbers that are not finite"):
        build_policy(f"bundle:{made}", space())


def test_a_graph_that_answers_nonsense_to_an_arm_at_rest(tmp_path: Path) -> None:
    """Zeros do well enough: where the tool is, a negative number comes under a root."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.node[6].op_type = "Sqrt"
        (weight,) = (entry for entry in model.graph.initializer if entry.name == "choose")
        choose = np.zeros((SIZE, 2), np.float32)
        choose[6] = -1.0
        weight.CopyFrom(numpy_helper.from_array(choose, "choose"))

    made = make_bundle(tmp_path / "bundle", change=change)
    OnnxStep(read_bundle(made))
    with pytest.raises(ConfigError, match=r"policy\.onnx: answers to an arm that stands still with numbers"):
        build_policy(f"bundle:{made}", space())


@pytest.mark.parametrize(("name", "size", "unit"), [("position", 2, "rad"), ("velocity", 2, "rad/s"), ("time", 1, "s")])
def test_a_deployments_own_names_can_be_observed(tmp_path: Path, name: str, size: int, unit: str) -> None:
    last = ObservationField(name=name, size=size, unit=unit)
    model = graph_model(
        [helper.make_node("MatMul", ["observation", "choose"], ["action"])],
        [tensor("observation", 1, 3 + size)],
        [tensor("action", 1, 2)],
        choose=np.eye(3 + size, 2, -3, np.float32),
    )
    fields = (ObservationField(name="goal", size=3, unit="m"), last)
    running = policy(tmp_path, model=model, states=(), observation=fields, tool=None)
    seen = observation() | {name: np.full(size, 0.5)}
    assert_allclose(running.act(seen).position[0], 0.1 * 0.5)


def test_no_folder_named() -> None:
    with pytest.raises(ConfigError, match="policy bundle needs a folder: give bundle:FOLDER"):
        build_policy("bundle", space())


def test_running_a_bundle_takes_no_torch(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "bundle", model=policy_model())
    code = (
        "import sys; from pathlib import Path\n"
        "from robot_mbrl.policies import registry\n"
        "from robot_mbrl.policies.bundle import read_bundle\n"
        "from robot_mbrl.policies.onnx_step import OnnxStep\n"
        "OnnxStep(read_bundle(Path(sys.argv[1]))).step()\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(made)], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["False"]
