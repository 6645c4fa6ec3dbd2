"""A motion within all limits, through free space, is never slowed or held, at any rate of the loop."""

from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.frame import REQUEST_DTYPE, ControlState, Request, empty
from robot_mbrl.contracts.types import StopCategory, VerdictLevel
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.policies.registry import build_policy
from robot_mbrl.runtime.conductor import Conductor
from robot_mbrl.runtime.control_loop import ControlLoop, Wires
from robot_mbrl.runtime.inbox import ActionBox, RequestBox
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.runtime.policy_process import Episode, joint_space
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from robot_mbrl.sim.geometry import MujocoGeometry
from robot_mbrl.sim.twin import Twin
from tests.runtime.rig import Frames, Mailbox

ARM = load_arm("so101_follower")
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("rate", [200.0, 1000.0])
@pytest.mark.parametrize("policy", [f"scripted:{EXAMPLES}/so101_wave.yaml", "sine"])
def test_a_motion_of_the_readme_passes_every_check_in_every_tick(policy: str, rate: float) -> None:
    clock = ManualClock()
    settings = DeploySettings(robot=TwinSettings(), policy=policy, loop=LoopSettings(rate=rate, policy_rate=25.0))
    twin = Twin(ARM, clock=clock)
    twin.connect()
    requests, actions, frames = Mailbox(), Mailbox(), Frames()
    conductor = Conductor.of(twin, ARM, settings.loop, StopCategory.HOLD, lambda _: None)
    wires = Wires(RequestBox(requests, clock.now_ns()), ActionBox(actions, 6), frames)
    loop = ControlLoop(conductor, build_monitor(ARM, MujocoGeometry(ARM)), wires, clock, settings.loop)
    episode = Episode(build_policy(policy, joint_space(ARM, settings, clock)), 6)
    every = round(rate / 25.0)
    asked = {1: Request.ARM, 3 * every: Request.RUN}
    for tick in range(round(8.0 * rate)):
        if tick in asked:
            request = empty(REQUEST_DTYPE)
            request["stamp_ns"], request["request"] = clock.now_ns(), asked[tick]
            requests.records.append(request)
        frame = loop.tick()
        assert int(frame["verdict"][0]) == VerdictLevel.PASS, (tick, int(frame["reason"][0]), frame["value"])
        action = episode.step(frame) if tick % every == 0 else None
        if action is not None:
            actions.records.append(action)
    assert loop.state is ControlState.RUNNING
    moved = np.array([frame["position"][0, :6] for frame in frames.sent])
    assert np.ptp(moved, axis=0).max() > 0.2
