"""A motion within all limits, through free space, is never slowed or held, at any rate of the loop."""

from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.policies.registry import build_policy
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.runtime.policy_process import Episode, joint_space
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from robot_mbrl.sim.geometry import MujocoGeometry
from tests.runtime.wired_arm import WiredTwin

ARM = load_arm("so101_follower")
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("rate", [200.0, 1000.0])
@pytest.mark.parametrize("policy", [f"scripted:{EXAMPLES}/so101_wave.yaml", "sine"])
def test_a_motion_of_the_readme_passes_every_check_in_every_tick(policy: str, rate: float) -> None:
    settings = DeploySettings(robot=TwinSettings(), policy=policy, loop=LoopSettings(rate=rate, policy_rate=25.0))
    cell = WiredTwin(ARM, build_monitor(ARM, MujocoGeometry(ARM)), settings=settings.loop)
    episode = Episode(build_policy(policy, joint_space(ARM, settings, cell.clock)), 6)
    asked = {1: Request.ARM, 3 * cell.ticks_per_action: Request.RUN}
    for tick in range(round(8.0 * rate)):
        if tick in asked:
            cell.ask(asked[tick])
        frame = cell.loop.tick()
        assert int(frame["verdict"][0]) == VerdictLevel.PASS, (tick, int(frame["reason"][0]), frame["value"])
        action = episode.step(frame) if tick % cell.ticks_per_action == 0 else None
        if action is not None:
            cell.actions.records.append(action)
    assert cell.state() is ControlState.RUNNING
    moved = np.array([frame["position"][0, :6] for frame in cell.frames.sent])
    assert np.ptp(moved, axis=0).max() > 0.2
