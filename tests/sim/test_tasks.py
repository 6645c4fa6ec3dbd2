"""Tasks: laws of rewards, actions and episodes, and that a hand-written controller solves them."""

import math
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from robot_mbrl.contracts.errors import ConfigError, NonFiniteCommand, SimulationError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.sim.randomization import PUBLISHED_RANGES
from robot_mbrl.sim.tasks import Layout, Task, TaskEnv, make_env, make_task
from robot_mbrl.sim.tasks.kinematics import Kinematics
from robot_mbrl.sim.tasks.scripted import scripted_controller
from robot_mbrl.sim.tasks.workspace import Workspace
from robot_mbrl.sim.truth import nominal_truth

TASK_NAMES = ("reach", "push")
ARMS = ("so101_follower", "koch_follower")


def observation_with(task: Task, **parts: list[float]) -> FloatArray:
    observation = np.zeros(task.layout.size)
    for name, value in parts.items():
        task.layout.part(observation, name)[:] = value
    return observation


def run(env: TaskEnv, act: Any, seed: int) -> tuple[float, bool]:
    """Distance left and success at the end of an episode in which `act` acts."""
    observation, info = env.reset(seed=seed)
    truncated = False
    while not truncated:
        observation, _, _, truncated, info = env.step(act(observation))
    return float(info["distance"]), bool(info["success"])


def test_layouts_are_what_the_docstring_says() -> None:
    reach, push = Layout(6, has_object=False), Layout(6, has_object=True)
    assert list(reach.slices) == ["joints", "velocities", "targets", "tool", "goal"]
    assert list(push.slices) == ["joints", "velocities", "targets", "tool", "object", "object_velocity", "goal"]
    assert (reach.size, push.size) == (3 * 6 + 2 * 3, 3 * 6 + 4 * 3)
    assert (push.slices["tool"], push.slices["goal"]) == (slice(18, 21), slice(27, 30))


@pytest.mark.parametrize("name", TASK_NAMES)
@pytest.mark.parametrize("arm", ARMS)
def test_gymnasium_accepts_the_environments(name: str, arm: str) -> None:
    check_env(make_env(name, arm), skip_render_check=True)


@pytest.mark.parametrize("name", TASK_NAMES)
def test_gymnasium_makes_them_by_name(name: str) -> None:
    env = gymnasium.make(f"robot_mbrl.sim.tasks:robot_mbrl/{name.capitalize()}-v0", arm="koch_follower")
    assert isinstance(env.unwrapped, TaskEnv)
    assert (env.unwrapped.task.name, env.unwrapped.task.arm.name) == (name, "koch_follower")


def test_reach_rewards_by_hand() -> None:
    """1 - tanh(d / 0.1), less 0.01 for full speed of all joints."""
    task = make_task("reach")
    far = observation_with(task, tool=[0.2, 0.0, 0.1], goal=[0.2, 0.06, 0.18])
    there = observation_with(task, tool=[0.2, 0.06, 0.18], goal=[0.2, 0.06, 0.18])
    still, full, beyond = np.zeros(6), np.full(6, -1.0), np.full(6, 5.0)
    before = np.stack([far, there, far, far])
    after = np.stack([far, there, there, far])
    rewards = task.reward(before, np.stack([still, still, full, beyond]), after)
    expected = [1.0 - math.tanh(1.0), 1.0, 0.99, 1.0 - math.tanh(1.0) - 0.01]
    np.testing.assert_allclose(rewards, expected, rtol=1e-12)
    np.testing.assert_allclose(task.distance(after), [0.1, 0.0, 0.0, 0.1], rtol=1e-12)
    assert task.success(after).tolist() == [False, True, True, False]


def test_push_rewards_by_hand() -> None:
    """0.8 of it for the object's way in the plane, 0.2 for the tool's to the object in space."""
    task = make_task("push")
    after = observation_with(task, tool=[0.2, 0.1, 0.0625], object=[0.2, 0.1, 0.0125], goal=[0.24, 0.13, 0.9])
    reward = task.reward(np.zeros((1, task.layout.size)), np.zeros((1, 6)), after[None])
    np.testing.assert_allclose(reward, [1.0 - 0.8 * math.tanh(0.5) - 0.2 * math.tanh(0.5)], rtol=1e-12)
    np.testing.assert_allclose(task.distance(after), 0.05, rtol=1e-12)
    near = observation_with(task, object=[0.2, 0.1, 0.0], goal=[0.2, 0.129, 0.0])
    assert task.success(np.stack([near, after])).tolist() == [True, False]


@pytest.mark.parametrize("name", TASK_NAMES)
def test_step_pays_what_the_reward_function_says(name: str) -> None:
    env = make_env(name)
    observations = [env.reset(seed=2)[0]]
    rewards: list[float] = []
    actions = np.random.default_rng(0).uniform(-1.5, 1.5, (30, 6))
    for action in actions:
        after, reward, _, _, info = env.step(action)
        observations.append(after)
        rewards.append(reward)
        assert info["distance"] == pytest.approx(float(env.task.distance(after)))
        assert info["success"] == bool(env.task.success(after))
    expected = env.task.reward(np.array(observations[:-1]), actions, np.array(observations[1:]))
    np.testing.assert_allclose(rewards, expected, rtol=0.0, atol=1e-14)


def test_an_action_moves_the_targets_by_the_speed_limit_and_stays_within_position_limits() -> None:
    env = make_env("reach")
    observation, _ = env.reset(seed=0, options={"joints": np.zeros(6)})
    part = env.task.layout.part
    full = 4.9 * 0.05
    action = np.array([1.0, -1.0, 0.5, 0.0, 7.0, -7.0])
    observation, *_ = env.step(action)
    expected = np.array([full, -full, full / 2, 0.0, full, -0.17453])
    np.testing.assert_allclose(part(observation, "targets"), expected, rtol=1e-12)
    np.testing.assert_array_equal(env.data.ctrl, part(observation, "targets"))
    for _ in range(20):
        observation, *_ = env.step(action)
    highest = [joint.position_limits[1] for joint in env.task.arm.joints]
    assert part(observation, "targets")[[0, 2, 4]].tolist() == [highest[0], highest[2], highest[4]]


@pytest.mark.parametrize("name", TASK_NAMES)
def test_observations_are_the_simulations_present_state(name: str) -> None:
    """Also the tool's place, which MuJoCo leaves one step behind."""
    env = make_env(name)
    env.reset(seed=1)
    for action in np.random.default_rng(0).uniform(-1.0, 1.0, (5, 6)):
        observation, *_ = env.step(action)
    fresh = mujoco.MjData(env.model)
    fresh.qpos[:] = env.data.qpos
    mujoco.mj_kinematics(env.model, fresh)
    part = env.task.layout.part
    np.testing.assert_array_equal(part(observation, "tool"), fresh.site("gripperframe").xpos)
    np.testing.assert_array_equal(part(observation, "joints"), env.data.qpos[:6])
    np.testing.assert_array_equal(part(observation, "velocities"), env.data.qvel[:6])
    if env.task.has_object:
        np.testing.assert_array_equal(part(observation, "object"), fresh.body("cube").xpos)


@pytest.mark.parametrize(("name", "limit"), [("reach", 100), ("push", 200)])
def test_time_truncates_and_nothing_terminates(name: str, limit: int) -> None:
    env = make_env(name)
    env.reset(seed=0)
    ends = [env.step(np.zeros(6))[2:4] for _ in range(limit)]
    assert ends == [(False, False)] * (limit - 1) + [(False, True)]
    assert env.data.time == pytest.approx(limit / 20)


@pytest.mark.parametrize("name", TASK_NAMES)
def test_a_seed_fixes_the_episodes(name: str) -> None:
    def episode(env: TaskEnv, seed: int | None) -> FloatArray:
        first, _ = env.reset(seed=seed)
        return np.stack([first, *(env.step(np.full(6, 0.3))[0] for _ in range(5))])

    one, other = make_env(name, randomization=PUBLISHED_RANGES), make_env(name, randomization=PUBLISHED_RANGES)
    np.testing.assert_array_equal(episode(one, 11), episode(other, 11))
    second = episode(one, None)
    np.testing.assert_array_equal(second, episode(other, None))
    assert not np.array_equal(second, episode(one, 11))


@pytest.mark.parametrize("name", TASK_NAMES)
@pytest.mark.parametrize("arm", ARMS)
def test_episodes_start_free_and_have_goals_within_reach(name: str, arm: str) -> None:
    env = make_env(name, arm)
    task, random = env.task, np.random.default_rng(0)
    kinematics, workspace = Kinematics(task), Workspace(env.model, task.arm)
    low, high = task.position_limits.T
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        joints, goal = task.layout.part(observation, "joints"), task.layout.part(observation, "goal")
        assert np.all((low <= joints) & (joints <= high))
        if task.has_object:
            workspace.place_cube(task.layout.part(observation, "object"))
            goal = np.array([goal[0], goal[1], 0.03])
        assert workspace.is_free(joints)
        starts = [random.uniform(low, high) for _ in range(20)]
        assert kinematics.nearest_solution(goal, joints, starts, pointing_down=False) is not None


def test_a_pose_in_the_table_is_not_free() -> None:
    env = make_env("reach")
    workspace = Workspace(env.model, env.task.arm)
    folded_down = np.array([0.0, 1.2, 0.3, 0.5, 0.0, 0.0])
    assert workspace.tool_at(folded_down)[2] < 0.0
    assert not workspace.is_free(folded_down)


def test_delayed_servos_start_at_rest() -> None:
    """MuJoCo's reset leaves goals of 0 in the motors' histories: the arm would jump for as long as the delay."""
    arm = load_arm("so101_follower")
    truth = nominal_truth(arm).without_backlash()
    slow = tuple(joint.model_copy(update={"command_delay": 0.02}) for joint in truth.joints)
    env = make_env("reach", truth=truth.model_copy(update={"joints": slow}))
    start = np.array([1.0, -0.5, 0.5, 0.5, 1.0, 0.5])
    env.reset(seed=0, options={"joints": start})
    mujoco.mj_step(env.model, env.data, 5)
    np.testing.assert_allclose(env.data.qpos[[0, 4]], start[[0, 4]], atol=1e-4)


def test_randomization_changes_the_arm_at_every_reset_and_nothing_does_without() -> None:
    env = make_env("reach", randomization=PUBLISHED_RANGES)
    seen = []
    for seed in range(4):
        env.reset(seed=seed)
        seen.append(env.truth)
        np.testing.assert_allclose(env.model.dof_frictionloss[:6], [joint.coulomb for joint in env.truth.joints])
    assert len({truth.joints[0].coulomb for truth in seen}) == 4
    fixed = make_env("reach")
    before = fixed.truth
    fixed.reset(seed=5)
    assert fixed.truth == before == nominal_truth(fixed.task.arm).without_backlash()


def test_reset_options_replace_parts_of_the_episode() -> None:
    env = make_env("push")
    wanted = {"goal": [0.2, 0.05, 0.0125], "object_position": [0.25, 0.0, 0.0125], "joints": np.zeros(6)}
    observation, _ = env.reset(seed=0, options=wanted)
    part = env.task.layout.part
    for name, key in (("goal", "goal"), ("object", "object_position"), ("joints", "joints"), ("targets", "joints")):
        np.testing.assert_array_equal(part(observation, name), wanted[key])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": 1.0}, "unknown reset option 'speed': give one of joints, goal$"),
        ({"object_position": [0.2, 0.0, 0.0]}, "unknown reset option 'object_position'"),
        ({"goal": [0.1, 0.2]}, "goal = .*: give 3 finite numbers"),
        ({"goal": [0.1, 0.2, math.nan]}, "goal = .*: give 3 finite numbers"),
    ],
)
def test_bad_reset_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_env("reach").reset(seed=0, options=options)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_action_that_is_not_finite_moves_nothing(bad: float) -> None:
    env = make_env("reach")
    env.reset(seed=0)
    before = env.data.qpos.copy(), env.data.ctrl.copy(), env.data.time
    with pytest.raises(NonFiniteCommand, match="not finite"):
        env.step(np.array([0.0, bad, 0.0, 0.0, 0.0, 0.0]))
    np.testing.assert_array_equal(env.data.qpos, before[0])
    np.testing.assert_array_equal(env.data.ctrl, before[1])
    assert env.data.time == before[2]


def test_diverged_physics_are_an_error_until_reset() -> None:
    env = make_env("reach")
    env.reset(seed=0)
    env.data.qvel[0] = 1e12
    with pytest.raises(SimulationError, match="mjWARN_BADQVEL"):
        env.step(np.zeros(6))
    env.reset()
    env.step(np.zeros(6))


def test_bad_names_and_timesteps_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown task 'grasp': give one of reach, push"):
        make_task("grasp")
    with pytest.raises(ConfigError, match=r"timestep = 0.003 s does not divide"):
        make_task("reach", timestep=0.003)
    with pytest.raises(ConfigError, match="backlash"):
        make_env("reach", truth=nominal_truth(load_arm("so101_follower")))


@pytest.mark.parametrize("arm", ARMS)
def test_the_script_reaches_nine_in_ten(arm: str) -> None:
    env = make_env("reach", arm)
    controller = scripted_controller(env.task, np.random.default_rng(0))
    solved = sum(run(env, controller.act, seed)[1] for seed in range(100, 110))
    assert solved >= 9


def test_the_script_pushes_where_doing_nothing_does_not() -> None:
    env = make_env("push")
    controller = scripted_controller(env.task, np.random.default_rng(0))
    pushed = [run(env, controller.act, seed) for seed in range(100, 106)]
    idle = [run(env, lambda _: np.zeros(6), seed) for seed in range(100, 106)]
    assert sum(success for _, success in pushed) >= 5
    assert not any(success for _, success in idle)
    assert np.median([distance for distance, _ in pushed]) < 0.2 * np.median([distance for distance, _ in idle])
