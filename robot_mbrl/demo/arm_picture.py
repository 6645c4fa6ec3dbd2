"""The arm in a picture: as lines between its joints, or by MuJoCo's renderer where this machine can draw off-screen.

The renderer needs OpenGL without a screen, by EGL or OSMesa, and chooses it when MuJoCo is imported: so the picture is
made in a process of its own, `python -m robot_mbrl.demo.arm_picture`, which reads a `Scenery` from standard input.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import mujoco
import numpy as np
from PIL import Image

from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.demo.legs import FlownLeg
from robot_mbrl.demo.pictures import policy_colours, short_name
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.sim.addresses import Addresses
from robot_mbrl.sim.model import build_model
from robot_mbrl.sim.names import TABLE
from robot_mbrl.sim.truth import nominal_truth

RENDERERS: Final = ("egl", "osmesa")
"""What MuJoCo can draw with where there is no screen, the faster one first."""
PATIENCE: Final = 60.0
"""How long a picture may take [s]."""
WIDTH, HEIGHT = 960, 640
_EYE: Final = {"azimuth": 140.0, "elevation": -20.0, "distance": 0.62}
"""Where the camera stands around `_LOOKED_AT` [degrees, m]."""
_LOOKED_AT: Final = (0.15, 0.0, 0.12)
_TABLE_COLOUR: Final = (0.93, 0.94, 0.95, 1.0)
_LINK_COLOURS: Final = ((0.25, 0.27, 0.30, 1.0), (0.95, 0.66, 0.25, 1.0))
"""Of the links, in turn."""
_AMBIENT, _DIFFUSE, _GLOW = 0.55, 0.5, 0.4
_FAR: Final = 5.0
"""Farther from the camera than anything of the scene [m]: there is nothing, which the picture leaves white."""
_BACKGROUND: Final = 255
_MOST_SHAPES: Final = 20_000
_PATH_RADIUS: Final = 0.0015
_GOAL_RADIUS: Final = 0.007
_GOAL_COLOUR: Final = "#009e73"
_STEP: Final = 0.004
"""Between two points of a path that is drawn, at least [m]."""

Point = tuple[float, float, float]


class Stroke(Settings):
    """A line through space.

    Attributes:
        colour: as #rrggbb.
        points: in the base frame [m].
    """

    colour: str
    points: tuple[Point, ...]


class Scenery(Settings):
    """What to draw.

    Attributes:
        arm: name of its definition.
        pose: (n,) of its joints [rad].
        strokes: the tool's paths.
        goals: as balls [m].
        path: of the PNG.
    """

    arm: str
    pose: tuple[float, ...]
    strokes: tuple[Stroke, ...]
    goals: tuple[Point, ...]
    path: Path


def skeleton(arm: ArmDefinition, pose: FloatArray) -> FloatArray:
    """(n + 2, 3) the base, each joint and the tool [m], with the joints at `pose` (n,) [rad]."""
    model, data = _posed(arm, pose)
    return np.vstack([np.zeros(3), data.xanchor[: len(pose)], data.site_xpos[Addresses(model, arm).tool]])


def render_arm(arm: ArmDefinition, poses: Sequence[FloatArray], legs: Sequence[FlownLeg], path: Path) -> str | None:
    """Draw `arm` in the last of `poses` with the paths of `legs` into the PNG `path`.

    Returns:
        None when the picture is there, else why this machine cannot draw it.
    """
    colours = policy_colours(legs)
    scenery = Scenery(
        arm=arm.name,
        pose=tuple(poses[-1].tolist()),
        strokes=tuple(Stroke(colour=colours[short_name(leg.leg.policy)], points=_thinned(leg.tool)) for leg in legs),
        goals=tuple(leg.leg.goal for leg in legs if leg.leg.goal is not None),
        path=path,
    )
    troubles = []
    for renderer in RENDERERS:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "robot_mbrl.demo.arm_picture"],
                input=scenery.model_dump_json(),
                env={**os.environ, "MUJOCO_GL": renderer},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            troubles.append(f"{renderer}: it took longer than {PATIENCE:g} s")
            continue
        if done.returncode == 0:
            return None
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        troubles.append(f"{renderer}: {last}")
    return f"MuJoCo cannot draw off-screen here ({'; '.join(troubles)})"


def draw_scenery(scenery: Scenery) -> None:
    """Make the picture, in a process whose MuJoCo can draw."""
    arm = load_arm(scenery.arm)
    model, data = _posed(arm, np.array(scenery.pose))
    _colour(model)
    camera = mujoco.MjvCamera()
    camera.lookat[:] = _LOOKED_AT
    camera.azimuth, camera.elevation, camera.distance = _EYE["azimuth"], _EYE["elevation"], _EYE["distance"]
    with mujoco.Renderer(model, HEIGHT, WIDTH, max_geom=_MOST_SHAPES) as renderer:
        renderer.update_scene(data, camera)
        for goal in scenery.goals:
            _add(renderer.scene, mujoco.mjtGeom.mjGEOM_SPHERE, _GOAL_RADIUS, goal, _GOAL_COLOUR)
        for stroke in scenery.strokes:
            for start, end in zip(stroke.points[:-1], stroke.points[1:], strict=True):
                geom = _add(renderer.scene, mujoco.mjtGeom.mjGEOM_CAPSULE, _PATH_RADIUS, start, stroke.colour)
                mujoco.mjv_connector(geom, mujoco.mjtGeom.mjGEOM_CAPSULE, _PATH_RADIUS, np.array(start), np.array(end))
        pixels = renderer.render()
        renderer.enable_depth_rendering()
        depth = renderer.render()
    pixels[depth > _FAR] = _BACKGROUND
    Image.fromarray(pixels).save(scenery.path)


def _colour(model: mujoco.MjModel) -> None:
    """Light, and colours that tell links and table apart."""
    model.vis.global_.offwidth, model.vis.global_.offheight = WIDTH, HEIGHT
    model.vis.headlight.ambient[:] = _AMBIENT
    model.vis.headlight.diffuse[:] = _DIFFUSE
    model.geom_rgba[:] = [_LINK_COLOURS[body % len(_LINK_COLOURS)] for body in model.geom_bodyid]
    model.geom_rgba[model.geom(TABLE).id] = _TABLE_COLOUR


def _posed(arm: ArmDefinition, pose: FloatArray) -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = build_model(arm, nominal_truth(arm).without_backlash())
    data = mujoco.MjData(model)
    data.qpos[Addresses(model, arm).position] = pose
    mujoco.mj_forward(model, data)
    return model, data


def _add(scene: mujoco.MjvScene, kind: int, radius: float, place: Point, colour: str) -> mujoco.MjvGeom:
    """One more shape that only the picture has."""
    geom = scene.geoms[scene.ngeom]
    rgba = np.array([*(int(colour[index : index + 2], 16) / 255.0 for index in (1, 3, 5)), 1.0], np.float32)
    mujoco.mjv_initGeom(geom, kind, np.full(3, radius), np.array(place), np.eye(3).ravel(), rgba)
    geom.emission = _GLOW
    scene.ngeom += 1
    return geom


def _thinned(path: FloatArray) -> tuple[Point, ...]:
    """Points of `path` (k, 3) at least `_STEP` apart."""
    kept: list[FloatArray] = []
    for place in path:
        if not kept or np.linalg.norm(place - kept[-1]) >= _STEP:
            kept.append(place)
    return tuple((float(x), float(y), float(z)) for x, y, z in kept)


if __name__ == "__main__":
    draw_scenery(Scenery.model_validate_json(sys.stdin.read()))
