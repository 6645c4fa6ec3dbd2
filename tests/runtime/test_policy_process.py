"""The policy's process: the episode's time, when it is asked at all, and how it ends."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.errors import DeadlineTooShort, NonFiniteCommand
from robot_mbrl.contracts.frame import (
    FRAME_DTYPE,
    MAX_PLAN_STEPS,
    REQUEST_DTYPE,
    ControlState,
    Record,
    Request,
    empty,
)
from robot_mbrl.contracts.policy import Outlook
from robot_mbrl.contracts.types import Action, FloatArray
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime import policy_process
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.child import Child
from robot_mbrl.runtime.policy_process import READY, Cockpit, Episode
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from tests.runtime.arm_stand import PATIENCE, until

N = 2


class Echo:
    """Commands the episode's time, and counts resets."""

    def __init__(self, answer: float | None = None) -> None:
        self.resets = 0
        self.answer = answer
        self.seen: Mapping[str, FloatArray] = {}

    def reset(self) -> None:
        self.resets += 1

    def act(self, observation: Mapping[str, FloatArray]) -> Action:
        self.seen = observation
        goal = float(observation["time"][0]) if self.answer is None else self.answer
        return Action(np.full(N, goal), 0.25, expires_ns=77)


def frame(state: ControlState, seconds: float, speed_scale: float = 1.0) -> Record:
    record = empty(FRAME_DTYPE)
    record["state"] = state
    record["stamp_ns"] = round(seconds * 1e9)
    record["speed_scale"] = speed_scale
    record["position"][0, :N] = [0.1, 0.2]
    record["velocity"][0, :N] = [0.3, 0.4]
    record["goal_position"][0, :N] = [0.5, 0.6]
    return record


def times(episode: Episode, frames: list[Record]) -> list[float | None]:
    actions = [episode.step(record) for record in frames]
    return [None if action is None else float(action["position"][0, 0]) for action in actions]


def test_time_begins_when_the_arm_runs_and_stands_still_while_it_is_held() -> None:
    running, holding, armed, slowed = (ControlState[name] for name in ("RUNNING", "HOLDING", "ARMED", "SLOWED"))
    found = times(
        Episode(Echo(), N),
        [
            frame(armed, 1.0),
            frame(armed, 2.0),
            frame(running, 2.5),
            frame(running, 3.0),
            frame(holding, 5.0),
            frame(holding, 6.0),
            frame(running, 6.5),
            frame(slowed, 8.5, speed_scale=0.25),
        ],
    )
    assert found == [0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.5, 2.0]


def test_each_run_is_an_episode_of_its_own() -> None:
    policy = Echo()
    found = times(Episode(policy, N), [frame(ControlState[s], t) for s, t in [("RUNNING", 1), ("RUNNING", 3)]])
    assert found == [0.0, 2.0]
    assert policy.resets == 0
    assert times(Episode(policy, N), [frame(ControlState.ARMED, 4.0)]) == [0.0]
    assert policy.resets == 1


@pytest.mark.parametrize("state", ["IDLE", "STOPPED", "FAULT", "PARKING"])
def test_states_that_want_no_action_get_none(state: str) -> None:
    assert Episode(Echo(), N).step(frame(ControlState[state], 1.0)) is None


def test_an_arm_without_goals_gets_no_action() -> None:
    bare = frame(ControlState.ARMED, 1.0)
    bare["goal_position"] = np.nan
    assert Episode(Echo(), N).step(bare) is None


@pytest.mark.parametrize("name", ["position", "velocity"])
def test_a_cycle_that_was_not_read_gets_no_action_and_costs_no_time(name: str) -> None:
    """What a policy remembers would not be finite any more; the action before it is still good for a while."""
    policy = Echo()
    unread = frame(ControlState.RUNNING, 2.0)
    unread[name][0, 1] = np.nan
    frames = [frame(ControlState.RUNNING, 1.0), unread, frame(ControlState.RUNNING, 3.0)]
    assert times(Episode(policy, N), frames) == [0.0, None, 2.0]


def test_a_measurement_that_is_still_the_last_one_gets_no_second_action() -> None:
    """The bus failed: two actions of one moment would be a jump, however near they are."""
    episode = Episode(Echo(), N)
    assert episode.step(frame(ControlState.RUNNING, 1.0)) is not None
    assert episode.step(frame(ControlState.RUNNING, 1.0)) is None
    after = episode.step(frame(ControlState.RUNNING, 1.05))
    assert after is not None
    assert after["position"][0, 0] == pytest.approx(0.05)


def test_a_policy_without_time_leaves_its_last_action_to_expire() -> None:
    """No action goes out, so that the one before is neither replaced nor renewed; the episode's time goes on."""

    class Hurried(Echo):
        late = False

        def act(self, observation: Mapping[str, FloatArray]) -> Action:
            if self.late:
                raise DeadlineTooShort("no time for an iteration")
            return super().act(observation)

    policy = Hurried()
    episode = Episode(policy, N)
    first = episode.step(frame(ControlState.RUNNING, 1.0))
    policy.late = True
    assert times(episode, [frame(ControlState.RUNNING, 1.5), frame(ControlState.RUNNING, 2.0)]) == [None, None]
    policy.late = False
    following = episode.step(frame(ControlState.RUNNING, 2.5))
    assert first is not None
    assert following is not None
    assert int(following["sequence"][0]) == int(first["sequence"][0]) + 1
    assert float(following["position"][0, 0]) == 1.5


def test_a_goal_is_observed_where_there_is_one() -> None:
    policy = Echo()
    Episode(policy, N).step(frame(ControlState.ARMED, 1.0))
    assert "goal" not in policy.seen
    Episode(policy, N, np.array([0.2, 0.0, 0.1])).step(frame(ControlState.ARMED, 1.0))
    assert_allclose(policy.seen["goal"], [0.2, 0.0, 0.1])


def test_observation_and_action_carry_what_they_should() -> None:
    policy = Echo()
    episode = Episode(policy, N)
    action = episode.step(frame(ControlState.ARMED, 1.0))
    assert action is not None
    assert_allclose(policy.seen["position"], [0.1, 0.2])
    assert_allclose(policy.seen["velocity"], [0.3, 0.4])
    assert_allclose(policy.seen["commanded"], [0.5, 0.6])
    assert (int(action["stamp_ns"][0]), int(action["expires_ns"][0])) == (1_000_000_000, 77)
    assert float(action["disagreement"][0]) == 0.25
    assert np.isnan(action["position"][0, N:]).all()
    second = episode.step(frame(ControlState.ARMED, 1.1))
    assert second is not None
    assert int(second["sequence"][0]) == int(action["sequence"][0]) + 1


class Planner(Echo):
    """Plans `steps` steps ahead."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def outlook(self) -> Outlook | None:
        goals = np.arange(2.0 * self.steps).reshape(self.steps, N)
        return Outlook(5_000, 0.05, goals, goals + 0.5, np.arange(self.steps) / 100.0)


def test_a_planning_policys_plan_goes_with_its_action() -> None:
    episode = Episode(Planner(3), N)
    action = episode.step(frame(ControlState.ARMED, 1.0))
    assert action is not None
    plan = episode.plan(action)
    assert plan is not None
    for name, value in (("sequence", 1), ("stamp_ns", 1_000_000_000), ("expires_ns", 77), ("begins_ns", 5_000)):
        assert int(plan[name][0]) == value
    assert (int(plan["period_ns"][0]), int(plan["steps"][0]), int(plan["joints"][0])) == (50_000_000, 3, N)
    assert_allclose(plan["disagreement"][0, :3], [0.0, 0.01, 0.02])
    assert_allclose(plan["goal_position"][0, :3, :N], [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    assert_allclose(plan["predicted_position"][0, 2, :N], [4.5, 5.5])
    assert np.isnan(plan["goal_position"][0, 3:]).all()


def test_of_a_long_plan_the_beginning_is_told_and_of_no_plan_nothing() -> None:
    for policy, steps in ((Planner(MAX_PLAN_STEPS + 5), MAX_PLAN_STEPS), (Echo(), None)):
        episode = Episode(policy, N)
        action = episode.step(frame(ControlState.ARMED, 1.0))
        assert action is not None
        plan = episode.plan(action)
        assert (None if plan is None else int(plan["steps"][0])) == steps


@pytest.mark.parametrize("answer", [float("nan"), float("inf")])
def test_a_goal_that_is_not_finite_ends_the_policy(answer: float) -> None:
    with pytest.raises(NonFiniteCommand, match="not finite"):
        Episode(Echo(answer), N).step(frame(ControlState.ARMED, 1.0))


# -- two policies ------------------------------------------------------------------------------------------------


def test_a_policy_that_takes_over_begins_an_episode_of_its_own() -> None:
    first, second = Echo(), Echo()
    episode = Episode(first, N)
    assert times(episode, [frame(ControlState.RUNNING, 1.0), frame(ControlState.HOLDING, 3.0)]) == [0.0, 0.0]
    before = episode.step(frame(ControlState.HOLDING, 3.5))
    episode.take_over(second)
    assert second.resets == 1
    after = episode.step(frame(ControlState.HOLDING, 4.0))
    assert before is not None
    assert after is not None
    assert int(after["sequence"][0]) == int(before["sequence"][0]) + 1
    assert times(episode, [frame(ControlState.RUNNING, 4.5)]) == [0.5]
    assert first.resets == 0


def two_policies() -> Cockpit:
    return Cockpit(settings("sine", standby="sine"), ManualClock())


@pytest.mark.parametrize("state", ["ARMED", "HOLDING"])
def test_the_other_policy_takes_over_while_the_arm_is_held(state: str) -> None:
    cockpit = two_policies()
    assert cockpit.obey(Request.USE_STANDBY, ControlState[state]) == "policy: sine acts from here on"
    assert cockpit.obey(Request.USE_STANDBY, ControlState[state]) == "policy: sine acts already"
    assert cockpit.obey(Request.USE_POLICY, ControlState[state]) == "policy: sine acts from here on"


@pytest.mark.parametrize("state", [None, *(set(ControlState) - {ControlState.ARMED, ControlState.HOLDING})])
def test_in_all_other_states_the_policy_stays(state: ControlState | None) -> None:
    cockpit = two_policies()
    told = cockpit.obey(Request.USE_STANDBY, state)
    assert told == "policy: sine does not take over from an arm that is not held: hold it first"
    assert cockpit.obey(Request.USE_POLICY, ControlState.ARMED) == "policy: sine acts already"


def test_without_a_policy_that_stands_by_there_is_none_to_change_to() -> None:
    cockpit = Cockpit(settings("sine"), ManualClock())
    assert cockpit.obey(Request.USE_STANDBY, ControlState.ARMED) is None


@pytest.mark.parametrize("request_", sorted(set(Request) - {Request.USE_POLICY, Request.USE_STANDBY}))
def test_what_is_asked_of_the_arm_is_not_asked_of_the_policy(request_: Request) -> None:
    assert two_policies().obey(request_, ControlState.ARMED) is None


# -- the process -------------------------------------------------------------------------------------------------


def settings(policy: str, standby: str | None = None) -> DeploySettings:
    return DeploySettings(
        session=f"test-policy-{os.getpid()}",
        robot=TwinSettings(),
        policy=policy,
        standby=standby,
        loop=LoopSettings(policy_rate=50.0),
    )


@pytest.fixture
def child() -> Iterator[Child]:
    process = Child("policy", "robot_mbrl.runtime.policy_process", settings("sine").model_dump_json())
    process.start()
    yield process
    process.close()


def test_answers_frames_with_actions_until_it_is_told_to_end(child: Child) -> None:
    child.await_line(READY)
    with Session(settings("sine").session) as session:
        frames, actions = session.publisher("frame"), session.subscriber("action")
        armed = frame(ControlState.ARMED, 1.0)
        for name in ("goal_position", "position", "velocity"):
            armed[name][0, :6] = 0.1
        received: list[Record] = []

        def exchanged() -> bool:
            frames.send(armed)
            received.extend(actions.drain())
            return len(received) > 2

        until(exchanged, "actions come")
    assert_allclose(received[0]["position"][0, :6], 0.1)
    assert int(received[0]["expires_ns"][0]) > 0
    child.send_signal(signal.SIGTERM)
    assert child.wait(PATIENCE)
    assert child.code == 0


def test_the_process_changes_its_policy_when_it_is_asked_to(tmp_path: Path) -> None:
    """A sine begins where the arm is held; a trajectory at its own first waypoint."""
    file = tmp_path / "pose.yaml"
    pose = dict.fromkeys(load_arm("so101_follower").joint_names, 0.3)
    file.write_text(f"waypoints: [{{duration: 1.0, position: {pose}}}]", encoding="utf-8")
    told = settings("sine", standby=f"scripted:{file}")
    child = Child("policy", "robot_mbrl.runtime.policy_process", told.model_dump_json())
    child.start()
    try:
        child.await_line(READY)
        with Session(told.session) as session:
            frames, requests = session.publisher("frame"), session.publisher("request")
            running = frame(ControlState.HOLDING, 1.0)
            for name in ("goal_position", "position", "velocity"):
                running[name][0, :6] = 0.1
            asked = empty(REQUEST_DTYPE)
            asked["request"] = Request.USE_STANDBY
            said: list[str] = []

            def changed() -> bool:
                frames.send(running)
                asked["stamp_ns"] = time.monotonic_ns()
                requests.send(asked)
                said.extend(child.lines())
                return any("acts already" in line for line in said)

            until(changed, "the other policy acts")
        assert f"policy: scripted:{file} acts from here on" in said
        assert not any("policy: sine" in line for line in said)
    finally:
        child.close()


def test_an_exception_of_a_policy_is_told_with_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a policy's\nmistake")

    monkeypatch.setattr(policy_process, "serve", fail)
    monkeypatch.setattr(policy_process, "end_with_parent", lambda _: None)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert policy_process.main([settings("sine").model_dump_json()]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "policy sine: ZeroDivisionError: a policy's mistake (test_policy_process.py:" in told


@pytest.mark.parametrize(
    ("policy", "code", "part"), [("dance", 3, "unknown policy 'dance'"), ("scripted:none.yaml", 3, "cannot be read")]
)
def test_a_wrong_policy_is_told_in_one_line(policy: str, code: int, part: str) -> None:
    process = Child("policy", "robot_mbrl.runtime.policy_process", settings(policy).model_dump_json())
    process.start()
    try:
        assert process.wait(PATIENCE)
        assert process.code == code
        assert part in process.last_words()
    finally:
        process.close()
