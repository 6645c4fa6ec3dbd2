"""Pictures of the arm: the skeleton by the kinematics, and the renderer's where this machine can draw."""

from pathlib import Path

import numpy as np
from numpy.testing import assert_allclose
from PIL import Image

from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.demo.arm_picture import HEIGHT, WIDTH, render_arm, skeleton
from robot_mbrl.demo.legs import FlownLeg
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.policies.tour import Leg
from robot_mbrl.sim.geometry import MujocoGeometry
from tests.demo.frames import flight

ARM = load_arm("so101_follower")
POSE = np.array([0.3, -0.6, 0.6, 0.4, 0.0, 0.2])


def test_the_skeleton_ends_at_the_tool_and_keeps_its_links_lengths() -> None:
    bent, straight = skeleton(ARM, POSE), skeleton(ARM, np.zeros(6))
    assert_allclose(bent[-1], MujocoGeometry(ARM).tool_position(POSE), atol=1e-9)
    first, second = (np.linalg.norm(np.diff(points[1:-2], axis=0), axis=1) for points in (bent, straight))
    assert_allclose(first, second, atol=1e-9)


def test_the_arm_is_drawn_or_the_reason_is_told(tmp_path: Path) -> None:
    line = np.linspace([0.2, -0.1, 0.2], [0.2, 0.1, 0.2], 50)
    leg = FlownLeg(
        number=0,
        leg=Leg(policy="pets:planner.yaml", seconds=1.0, goal=(0.2, 0.1, 0.2)),
        frames=flight((0.5, ControlState.RUNNING)),
        tool=line,
        distance=np.zeros(50),
        cut_short=False,
    )
    trouble = render_arm(ARM, [POSE], [leg], tmp_path / "arm.png")
    if trouble is not None:
        assert trouble.startswith("MuJoCo cannot draw off-screen here (egl: ")
        assert "ImportError" in trouble or "EGL" in trouble or "None" in trouble
        return
    pixels = np.asarray(Image.open(tmp_path / "arm.png")).astype(int)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    red, _, blue = np.moveaxis(pixels, -1, 0)
    assert ((blue > 150) & (red < 80)).sum() > 100, "the planner's path is blue"
    assert ((red > 150) & (blue < 110)).sum() > 2000, "every second link is orange"
