"""Where the tool frame and the links may be.

Judged twice: as measured, and where the arm is going, with the way that braking takes, so that a held motion ends on
the right side. An arm that is on the wrong side already may lead away from it, slowly.
"""

from robot_mbrl.contracts.geometry import ArmGeometry
from robot_mbrl.contracts.monitor_settings import MonitorSettings
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.safety.frame_view import FrameView
from robot_mbrl.safety.judgement import PASS, Judgement

RETREAT = 0.001
"""A motion that ends at least this much nearer to the right side leads away from the wrong one [m]."""


class _Depths:
    """Grades how deep a point is on the wrong side, measured and ahead."""

    def __init__(self, settings: MonitorSettings) -> None:
        self._stop = settings.workspace.stop_depth
        self._min_scale = settings.min_speed_scale

    def judge(self, measured: float, ahead: float) -> Judgement:
        if ahead <= 0.0 and measured <= 0.0:
            return PASS
        if ahead < measured - RETREAT:
            return Judgement(VerdictLevel.SLOW, self._min_scale, measured, 0.0)
        if not measured <= self._stop:
            return Judgement(VerdictLevel.STOP, 0.0, measured, self._stop)
        return Judgement(VerdictLevel.HOLD, 0.0, ahead, 0.0)


class ToolBox:
    """The tool frame stays in a box."""

    name = "tool_box"

    def __init__(self, settings: MonitorSettings, geometry: ArmGeometry) -> None:
        self._box = settings.workspace.box
        self._geometry = geometry
        self._depths = _Depths(settings)

    def judge(self, view: FrameView) -> Judgement:
        """Grade how far outside it is [m]."""
        measured = self._outside(view.tool(self._geometry, ahead=False))
        return self._depths.judge(measured, self._outside(view.tool(self._geometry, ahead=True)))

    def _outside(self, point: list[float]) -> float:
        (x, y, z), low, high = point, self._box.low, self._box.high
        return max(low[0] - x, x - high[0], low[1] - y, y - high[1], low[2] - z, z - high[2])


class ToolFloor:
    """The tool frame stays above a floor."""

    name = "tool_floor"

    def __init__(self, settings: MonitorSettings, geometry: ArmGeometry) -> None:
        self._floor = settings.workspace.floor
        self._geometry = geometry
        self._depths = _Depths(settings)

    def judge(self, view: FrameView) -> Judgement:
        """Grade how far below it is [m]."""
        measured = self._floor - view.tool(self._geometry, ahead=False)[2]
        return self._depths.judge(measured, self._floor - view.tool(self._geometry, ahead=True)[2])


class ToolKeepOuts:
    """The tool frame stays out of boxes."""

    name = "tool_keep_outs"

    def __init__(self, settings: MonitorSettings, geometry: ArmGeometry) -> None:
        self._boxes = settings.workspace.keep_outs
        self._geometry = geometry
        self._depths = _Depths(settings)

    def judge(self, view: FrameView) -> Judgement:
        """Grade how deep inside one it is [m]."""
        if not self._boxes:
            return PASS
        measured = self._inside(view.tool(self._geometry, ahead=False))
        return self._depths.judge(measured, self._inside(view.tool(self._geometry, ahead=True)))

    def _inside(self, point: list[float]) -> float:
        return max(
            min(min(value - low, high - value) for low, value, high in zip(box.low, point, box.high, strict=True))
            for box in self._boxes
        )


class LinkClearance:
    """Links keep away from each other and from the table."""

    name = "link_clearance"

    def __init__(self, settings: MonitorSettings, geometry: ArmGeometry) -> None:
        self._workspace = settings.workspace
        self._min_scale = settings.min_speed_scale
        self._geometry = geometry

    def judge(self, view: FrameView) -> Judgement:
        """Grade the smallest clearance ahead [m]; the measured one counts only where that is short."""
        limits = self._workspace
        ahead = view.clearance(self._geometry, ahead=True).distance
        if ahead >= limits.slow_clearance:
            return PASS
        measured = view.clearance(self._geometry, ahead=False).distance
        if ahead > measured + RETREAT:
            return Judgement(VerdictLevel.SLOW, self._min_scale, ahead, limits.slow_clearance)
        if not measured >= limits.stop_clearance:
            return Judgement(VerdictLevel.STOP, 0.0, measured, limits.stop_clearance)
        if not ahead >= limits.hold_clearance:
            return Judgement(VerdictLevel.HOLD, 0.0, ahead, limits.hold_clearance)
        share = (ahead - limits.hold_clearance) / (limits.slow_clearance - limits.hold_clearance)
        scale = self._min_scale + (1.0 - self._min_scale) * share
        return Judgement(VerdictLevel.SLOW, scale, ahead, limits.slow_clearance)
