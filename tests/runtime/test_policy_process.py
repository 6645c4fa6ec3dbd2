"""The policy's process: the episode's time, when it is asked at all, and how it ends."""

import os
import signal
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from numpy.testing import assert_allclose

from robot_mbrl.contracts.errors import NonFiniteCommand
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record, empty
from robot_mbrl.contracts.types import Action, FloatArray
from robot_mbrl.runtime import policy_process
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.child import Child
from robot_mbrl.runtime.policy_process import READY, Episode
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


@pytest.mark.parametrize("answer", [float("nan"), float("inf")])
def test_a_goal_that_is_not_finite_ends_the_policy(answer: float) -> None:
    with pytest.raises(NonFiniteCommand, match="not finite"):
        Episode(Echo(answer), N).step(frame(ControlState.ARMED, 1.0))


# -- the process -------------------------------------------------------------------------------------------------


def settings(policy: str) -> DeploySettings:
    return DeploySettings(
        session=f"test-policy-{os.getpid()}",
        robot=TwinSettings(),
        policy=policy,
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
