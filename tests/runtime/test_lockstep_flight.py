"""A deployment in lockstep: it flies what a policy asks for, ends when it is stopped, and is stopped by doubt."""

from collections.abc import Mapping

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ProcessFailed
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import Action, FloatArray
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.policies.joint_space import JointSpace
from robot_mbrl.policies.sine import SinePolicy, SineSettings
from robot_mbrl.runtime.control_loop import Doubts
from robot_mbrl.runtime.lockstep_flight import LockstepFlight
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from robot_mbrl.sim.truth import nominal_truth

ARM = load_arm("so101_follower")
START: FloatArray = np.array([0.3, -0.9, 0.3, 0.4, 0.5, 0.6])
SAFETY = {"uncertainty": {"disagreement": {"stop": 1.0}, "residual": {"stop": 3.0, "persistence": 0.05}}}


class Hold:
    """Stays where it is told it is commanded, with a doubt of its own."""

    def __init__(self, space: JointSpace, disagreement: float = float("nan")) -> None:
        self._space, self._disagreement = space, disagreement

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self, observation: Mapping[str, FloatArray]) -> Action:
        """The commanded goals."""
        return self._space.action(self._space.inside(observation["commanded"]), self._disagreement)


class Script:
    """Doubts of which the residual rises to 5 after `quiet` updates."""

    def __init__(self, quiet: int) -> None:
        self._left = quiet

    def update(self, *_: object) -> tuple[float, float]:
        """The next one."""
        self._left -= 1
        return 0.1, 1.0 if self._left >= 0 else 5.0


def flight(doubts: Doubts | None = None, **settings: object) -> LockstepFlight:
    loop = LoopSettings(rate=100.0, policy_rate=20.0)
    told = DeploySettings.model_validate({"robot": TwinSettings(), "loop": loop, **settings})
    monitor = build_monitor(ARM, None, SAFETY)
    return LockstepFlight(ARM, nominal_truth(ARM), START, told, monitor, doubts)


def running(frames: FrameArray) -> FrameArray:
    found: FrameArray = frames[frames["state"] == ControlState.RUNNING]
    return found


def test_it_flies_what_the_policy_asks_for() -> None:
    arm = flight()
    swing = SinePolicy(SineSettings(amplitude=0.2, frequency=0.5), arm.space())
    seen: list[float] = []
    frames = arm.fly(swing, 0.7, seen.append)
    assert seen == pytest.approx([0.01 * tick for tick in range(70)])
    # And the tick in which the request to run was heard.
    assert len(running(frames)) == 1 + 70
    # With s = 0.35 of the period gone the swing is at 0.2 (10 s³ - 15 s⁴ + 6 s⁵) sin(2π s) = 0.038 rad; path, servo and
    # gear lag behind.
    assert 0.01 < running(frames)["position"][-1, 0] - START[0] < 0.038
    assert np.abs(frames["position"][:, 1:6] - START[1:]).max() < 0.12
    assert arm.reports == []


def test_doubt_stops_the_arm_for_good() -> None:
    arm = flight(Script(30))
    frames = arm.fly(Hold(arm.space()), 1.0)
    assert arm.loop.state is ControlState.STOPPED
    # 30 quiet updates, and six loud ones that span the persistence of 50 ms.
    assert len(running(frames)) == 30 + 6
    assert "residual: 5, limit 3" in arm.reports[-1]


def test_a_policys_own_doubt_is_judged_where_no_model_watches() -> None:
    alone = flight()
    with pytest.raises(ProcessFailed, match="stopped: disagreement: 2, limit 1"):
        alone.fly(Hold(alone.space(), 2.0), 0.3)
    watched = flight(Script(1000))
    frames = watched.fly(Hold(watched.space(), 2.0), 0.3)
    assert watched.reports == []
    assert set(running(frames)["policy_disagreement"]) == {2.0}
    assert set(running(frames)["disagreement"]) == {0.1}


def test_the_deployments_goal_is_observed() -> None:
    shown: list[FloatArray] = []

    class Look(Hold):
        def act(self, observation: Mapping[str, FloatArray]) -> Action:
            shown.append(observation["goal"])
            return super().act(observation)

    arm = flight(goal=(0.2, 0.0, 0.1))
    assert "goal" in arm.space().observed
    arm.fly(Look(arm.space()), 0.1)
    assert shown[0].tolist() == [0.2, 0.0, 0.1]


def test_an_arm_that_does_not_start_says_why() -> None:
    class Late(Hold):
        def act(self, observation: Mapping[str, FloatArray]) -> Action:
            action = super().act(observation)
            return Action(action.position, action.disagreement, expires_ns=0)

    arm = flight()
    with pytest.raises(ProcessFailed, match=r"not running within 2\.0 s \(.*no policy has sent an action"):
        arm.fly(Late(arm.space()), 1.0)
