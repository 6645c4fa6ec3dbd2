"""Where the tool frame and the links may be.

Judged as measured and where the arm is going, with the way that braking takes, so that a held motion ends on the right
side. An arm that is on the wrong side already may lead away from it, slowly: its goals must do so, for the measured
angles differ from them by what the arm sags.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from robot_mbrl.contracts.geometry import ArmGeometry
from robot_mbrl.contracts.monitor_settings import MonitorSettings
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.safety.frame_view import FrameView, Pose
from robot_mbrl.safety.judgement import PASS, Judgement

SAG_ANGLE = 0.1
"""An arm whose joints hang below their goals by less than this together [rad] ..."""
SAG = 0.04
"""... does so by less than this [m], 0.4 m from the shoulder: farther off, goals are enough to go by."""

Point = Sequence[float]
"""x, y, z [m], arm base frame."""

RETREAT = 1e-6
"""A motion whose end is nearer to the right side than the held goals, by more than rounding, leads away [m]."""


class _ToolLimit(ABC):
    """Grades how deep the tool is on the wrong side [m]."""

    def __init__(self, settings: MonitorSettings, geometry: ArmGeometry) -> None:
        self._workspace = settings.workspace
        self._min_scale = settings.min_speed_scale
        self._geometry = geometry

    @abstractmethod
    def _depth(self, point: Point) -> float:
        """How deep `point` lies on the wrong side [m], negative on the right one."""

    def judge(self, view: FrameView) -> Judgement:
        """Grade the depth as measured and where the goals are going."""
        measured = self._depth(view.tool(self._geometry, Pose.MEASURED))
        ahead = max([self._depth(view.tool(self._geometry, pose)) for pose in view.ahead])
        if ahead <= 0.0 and measured <= 0.0:
            return PASS
        if ahead < self._depth(view.tool(self._geometry, Pose.GOAL)) - RETREAT:
            return Judgement(VerdictLevel.SLOW, self._min_scale, measured, 0.0)
        if not measured <= self._workspace.stop_depth:
            return Judgement(VerdictLevel.STOP, 0.0, measured, self._workspace.stop_depth)
        return PASS if ahead <= 0.0 else Judgement(VerdictLevel.HOLD, 0.0, ahead, 0.0)


class ToolBox(_ToolLimit):
    """The tool frame stays in a box."""

    name = "tool_box"

    def _depth(self, point: Point) -> float:
        (x, y, z), low, high = point, self._workspace.box.low, self._workspace.box.high
        return max(low[0] - x, x - high[0], low[1] - y, y - high[1], low[2] - z, z - high[2])


class ToolFloor(_ToolLimit):
    """The tool frame stays above a floor."""

    name = "tool_floor"

    def _depth(self, point: Point) -> float:
        return self._workspace.floor - point[2]


class ToolKeepOuts(_ToolLimit):
    """The tool frame stays out of boxes."""

    name = "tool_keep_outs"

    def _depth(self, point: Point) -> float:
        depths = (
            min(min(value - low, high - value) for low, value, high in zip(box.low, point, box.high, strict=True))
            for box in self._workspace.keep_outs
        )
        return max(depths, default=-math.inf)


class LinkClearance:
    """Links keep away from each other and from the table."""

    name = "link_clearance"

    def __init__(self, settings: MonitorSettings, geometry: ArmGeometry) -> None:
        self._workspace = settings.workspace
        self._slowing = settings.workspace.slow_clearance - settings.workspace.hold_clearance
        self._min_scale = settings.min_speed_scale
        self._geometry = geometry

    def judge(self, view: FrameView) -> Judgement:
        """Grade the smallest clearance ahead [m], of the goals and of the arm that sags below them."""
        limits, geometry = self._workspace, self._geometry
        ahead = min([view.clearance(geometry, pose) for pose in view.ahead])
        if ahead >= limits.slow_clearance + SAG and not (view.has_goal and sum(map(abs, view.sag)) > SAG_ANGLE):
            return PASS
        spare, value, limit = ahead - limits.hold_clearance, ahead, limits.hold_clearance
        rest = view.clearance(geometry, Pose.REST)
        if rest - limits.rest_clearance < spare:
            spare, value, limit = rest - limits.rest_clearance, rest, limits.rest_clearance
        if spare >= self._slowing:
            return PASS
        if ahead <= view.clearance(geometry, Pose.GOAL) + RETREAT:
            measured = view.clearance(geometry, Pose.MEASURED)
            if not measured >= limits.stop_clearance:
                return Judgement(VerdictLevel.STOP, 0.0, measured, limits.stop_clearance)
            if spare < 0.0:
                return Judgement(VerdictLevel.HOLD, 0.0, value, limit)
        scale = self._min_scale + (1.0 - self._min_scale) * max(0.0, spare / self._slowing)
        return Judgement(VerdictLevel.SLOW, scale, value, limit + self._slowing)
