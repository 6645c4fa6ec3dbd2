"""Task models agree with their environments: rewards, known coordinates, and targets that undo `next_state`."""

import gymnasium
import numpy as np
import pytest
import torch

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import Box
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.learning.task_models import wrapped
from robot_mbrl.learning.task_models_arm import arm_model
from robot_mbrl.learning.task_models_suite import ReacherModel
from robot_mbrl.learning.tasks import LearningTask, make_learning_task, task_names
from robot_mbrl.policies.task_model import LinearInputTask, TaskModel
from robot_mbrl.sim.tasks import make_task
from robot_mbrl.sim.tasks.reach import ReachTask

STEPS = 60


def walk(task: LearningTask, seed: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, float]]:
    """Transitions (state, action, next state, reward) of random actions."""
    random = np.random.default_rng(seed)
    observation, _ = task.environment.reset(seed=seed)
    space = task.environment.action_space
    assert isinstance(space, gymnasium.spaces.Box)
    found = []
    for _ in range(STEPS):
        action = random.uniform(space.low, space.high).astype(np.float32)
        before = task.model.state(observation)
        observation, reward, *_ = task.environment.step(action)
        found.append((before, action, task.model.state(observation), float(reward)))
    return found


def columns(task: LearningTask, seed: int = 0) -> list[torch.Tensor]:
    return [torch.as_tensor(np.array(column)) for column in zip(*walk(task, seed), strict=True)]


@pytest.mark.parametrize("name", task_names())
def test_the_reward_is_the_environments(name: str) -> None:
    task = make_learning_task(name)
    state, action, next_state, reward = columns(task)
    np.testing.assert_allclose(task.model.reward(state, action, next_state), reward, atol=2e-5)
    assert reward.std() > 0.0 or name.startswith("dm_control:reacher")


def test_reacher_pays_where_finger_and_target_overlap() -> None:
    task = make_learning_task("dm_control:reacher-easy")
    rewards = [columns(task, seed) for seed in range(8)]
    environment = torch.cat([column[3] for column in rewards])
    model = torch.cat([task.model.reward(*column[:3]) for column in rewards])
    assert 0 < environment.sum() < len(environment)
    np.testing.assert_array_equal(model, environment)


def test_a_held_action_counts_its_last_reward_for_each_step() -> None:
    once, held = (make_learning_task("dm_control:cartpole-swingup", repeat=repeat) for repeat in (1, 4))
    transition = columns(once)[:3]
    np.testing.assert_allclose(held.model.reward(*transition), 4.0 * once.model.reward(*transition), rtol=1e-6)


@pytest.mark.parametrize("name", task_names())
def test_targets_lead_to_the_next_state_and_known_parts_are_exact(name: str) -> None:
    task = make_learning_task(name)
    model: TaskModel = task.model
    state, action, next_state, _ = columns(task)
    output = model.targets(state, action, next_state)
    assert output.shape == (STEPS, model.outputs)
    assert model.model_inputs(state, action).shape == (STEPS, model.inputs)
    difference = model.next_state(state, action, output) - next_state
    for angle in getattr(model, "angles", ()):
        difference[:, angle] = wrapped(difference[:, angle])
    if name == "push":  # the object is taken to slide: its height stays
        layout = make_task("push").layout
        difference[:, [layout.slices["object"].stop - 1, layout.slices["object_velocity"].stop - 1]] = 0.0
    np.testing.assert_allclose(difference, 0.0, atol=1e-5)


@pytest.mark.parametrize("name", task_names())
def test_leading_axes_broadcast(name: str) -> None:
    task = make_learning_task(name)
    model = task.model
    state, action, next_state, _ = columns(task)
    output = model.targets(state, action, next_state)
    many = output.expand(3, *output.shape)
    stacked = model.next_state(state, action, many)
    assert stacked.shape == (3, STEPS, model.states)
    np.testing.assert_array_equal(stacked[1], model.next_state(state, action, output))
    np.testing.assert_array_equal(model.reward(state, action, stacked)[2], model.reward(state, action, stacked[2]))
    assert model.violation(stacked).shape[:2] == (3, STEPS)


def test_what_the_networks_see_of_reach_is_linear_in_what_they_predict() -> None:
    """`x = z B + u`, also where targets meet their limits, and states are those that `next_state` leads to."""
    task = make_learning_task("reach")
    model: TaskModel = task.model
    assert isinstance(model, LinearInputTask)
    assert not isinstance(make_learning_task("push").model, LinearInputTask)
    start = columns(task)[0][0]
    random = torch.Generator().manual_seed(0)
    actions = 2.0 * torch.randn(30, 4, model.actions, generator=random)
    outputs = 0.1 * torch.randn(30, 2, 1, 4, model.outputs, generator=random)
    known = model.known_inputs(start, actions)
    states = [start.expand(2, 1, 4, -1)]
    for action, output, u in zip(actions, outputs, known, strict=True):
        repeated = action.expand(2, 1, 4, -1)
        seen = model.learned(states[-1]) @ model.input_matrix + u
        np.testing.assert_allclose(seen, model.model_inputs(states[-1], repeated), atol=1e-5)
        states.append(model.next_state(states[-1], repeated, output))
    by_step = torch.stack(states)
    np.testing.assert_allclose(model.states_along(start, known, model.learned(by_step)), by_step, atol=1e-6)


def test_an_angle_is_learned_the_short_way_round() -> None:
    model = make_learning_task("dm_control:cartpole-swingup").model
    state, after = torch.tensor([[0.0, 3.1, 0.0, 1.0]]), torch.tensor([[0.0, -3.1, 0.0, 1.0]])
    output = model.targets(state, torch.zeros(1, 1), after)
    np.testing.assert_allclose(output[0, 1], 2.0 * np.pi - 6.2, rtol=1e-5)


def test_the_finger_of_a_bent_reacher() -> None:
    model = make_learning_task("dm_control:reacher-easy").model
    assert isinstance(model, ReacherModel)
    # Upper link along y, lower one turned back by a right angle: 0.12 m up and 0.12 m to the right.
    finger = model.finger(torch.tensor([np.pi / 2.0, -np.pi / 2.0]))
    np.testing.assert_allclose(finger, [0.12, 0.12], atol=1e-9)


def test_limits_are_violated_by_the_angle_past_them_and_the_tool_s_depth_on_the_wrong_side() -> None:
    """Box, floor and keep-out as the monitor's; the tool is 0.03 m below the floor and 0.02 m deep in the keep-out."""
    arm = load_arm("so101_follower")
    keep_out = Box(low=(0.18, -0.1, -0.2), high=(0.4, 0.1, 0.3))
    workspace = arm.safety.workspace.model_copy(update={"keep_outs": (keep_out,)})
    safety = arm.safety.model_copy(update={"workspace": workspace})
    model = arm_model(ReachTask(arm.model_copy(update={"safety": safety})))
    n = model.task.layout.joints
    low, high = model.task.position_limits.T
    state = torch.zeros(model.states)
    state[model.task.layout.slices["joints"]] = torch.as_tensor((low + high) / 2.0, dtype=torch.float32)
    state[0] = high[0] + 0.1
    state[model.task.layout.slices["tool"]] = torch.tensor([0.2, 0.0, -0.03])
    violation = model.violation(state)
    low_corner, high_corner = np.array(workspace.box.low), np.array(workspace.box.high)
    assert violation.shape == (2 * n + 6 + 1 + 1,)
    np.testing.assert_allclose(violation[[n, -2, -1]], [0.1, 0.03, 0.02], atol=1e-6)
    np.testing.assert_allclose(violation[2 * n : 2 * n + 3], low_corner - [0.2, 0.0, -0.03], atol=1e-6)
    np.testing.assert_allclose(violation[2 * n + 3 : 2 * n + 6], [0.2, 0.0, -0.03] - high_corner, atol=1e-6)
    assert (violation[:n] < 0.0).all()


@pytest.mark.parametrize(
    ("name", "repeat", "parts"),
    [
        ("fly", 1, "'fly'.*reach.*gymnasium:Pendulum-v1"),
        ("dm_control:cartpole-fly", 1, "cartpole-fly"),
        ("reach", 2, "reach: repeat = 2.*give 1"),
        ("gymnasium:Pendulum-v1", 3, "repeat = 3"),
        ("dm_control:reacher-easy", 0, "0"),
    ],
)
def test_what_does_not_exist_is_refused(name: str, repeat: int, parts: str) -> None:
    with pytest.raises(ConfigError, match=parts):
        make_learning_task(name, repeat=repeat)


def test_a_guide_sees_how_far_the_tool_is_along_and_across_the_way_of_the_object() -> None:
    """Object at (0.2, 0), goal 0.099 m ahead, tool 0.05 m behind and 0.02 m to the left; 0.099 / (0.099 + 0.001)."""
    task = make_learning_task("push")
    slices = make_task("push").layout.slices
    state = np.zeros(task.model.states, np.float32)
    state[slices["object"]], state[slices["goal"]] = (0.2, 0.0, 0.0125), (0.299, 0.0, 0.0125)
    state[slices["tool"]] = (0.15, 0.02, 0.0125)
    seen = task.model.guide_inputs(torch.from_numpy(state)).numpy()
    way, distance, along, across, away, near, place, ahead = np.split(seen[-23:-12], [2, 3, 4, 5, 6, 7, 9])
    np.testing.assert_allclose(way, [0.099, 0.0], atol=1e-6)
    np.testing.assert_allclose(place, [0.2, 0.0], atol=1e-6)
    np.testing.assert_allclose(ahead, [0.99, 0.0], atol=1e-6)
    lengths = np.array([0.099, -0.05 * 0.99, -0.02 * 0.99])
    np.testing.assert_allclose([*distance, *along, *across, *away], [*lengths, 0.02 * 0.99], atol=1e-6)
    np.testing.assert_allclose(near, np.hypot(0.05, 0.02), atol=1e-6)
    close = seen[-12:].reshape(3, 4)
    expected = [[np.exp(-((x / c) ** 2)) for x in (*lengths, 0.0125)] for c in (0.01, 0.02, 0.04)]
    np.testing.assert_allclose(close, expected, atol=1e-6)
