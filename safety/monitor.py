"""The safety monitor: all checks on one tick, the worst judgement wins."""

from typing import Final

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.frame import Record
from robot_mbrl.contracts.geometry import ArmGeometry
from robot_mbrl.contracts.monitor_settings import MonitorSettings
from robot_mbrl.contracts.types import Verdict, VerdictLevel
from robot_mbrl.safety import health, kinematic_limits, plausibility, timing, uncertainty, workspace
from robot_mbrl.safety.frame_view import FrameView
from robot_mbrl.safety.judgement import PASS, Check, Judgement


def _numeric_checks(settings: MonitorSettings) -> list[Check]:
    """What must hold before anything is computed from a frame; in this order, and the first that fails ends it."""
    return [plausibility.WellFormed(settings), plausibility.NonFinite(settings)]


def _checks(settings: MonitorSettings, geometry: ArmGeometry | None) -> list[Check]:
    """All others. Without a geometry those of the workspace are left out, without thresholds those of a model."""
    checks: list[Check] = [
        health.HardwareErrors(settings),
        plausibility.TimeStamps(settings),
        plausibility.Jump(settings),
        plausibility.Frozen(settings),
        plausibility.VelocityAgainstDifference(settings),
        plausibility.BusErrors(settings),
        kinematic_limits.MeasuredPosition(settings),
        kinematic_limits.CommandPosition(settings),
        kinematic_limits.MeasuredVelocity(settings),
        kinematic_limits.MeasuredAcceleration(settings),
        kinematic_limits.MeasuredJerk(settings),
        kinematic_limits.CommandVelocity(settings),
        kinematic_limits.CommandAcceleration(settings),
        kinematic_limits.CommandJerk(settings),
        kinematic_limits.ActionJump(settings),
        kinematic_limits.TrackingError(settings),
        kinematic_limits.Load(settings),
        kinematic_limits.Current(settings),
        health.Temperature(settings),
        health.Undervoltage(settings),
        health.Overvoltage(settings),
        health.HealthAge(settings),
        health.Stall(settings),
        health.Jam(settings),
        timing.Lateness(settings),
        timing.MissedTicks(settings),
        timing.StaleAction(settings),
        timing.LostHeartbeat(settings),
    ]
    if geometry is not None:
        places = (workspace.ToolBox, workspace.ToolFloor, workspace.ToolKeepOuts, workspace.LinkClearance)
        checks += [place(settings, geometry) for place in places]
    if settings.uncertainty.disagreement is not None:
        checks.append(uncertainty.Disagreement(settings, settings.uncertainty.disagreement))
    if settings.uncertainty.residual is not None:
        checks.append(uncertainty.Residual(settings, settings.uncertainty.residual))
    return checks


_PASSED: Final = Verdict(VerdictLevel.PASS)
HOLD_FORGOTTEN: Final = 0.5
"""How long there must be no hold before the holds so far no longer count [s]: an arm that is held, sets out against the
same thing and is held again gets nowhere."""


class _Held:
    """How long the arm has been held, whatever lay between, until that is forgotten."""

    def __init__(self, limit: float) -> None:
        self._limit_ns = to_ns(limit)
        self._total_ns = 0
        self._judged_ns = self._held_ns = -1

    def too_long(self, holds: bool, now_ns: int) -> bool:
        """Whether this tick `holds`, and its time with that of the ticks before is more than the limit."""
        tick_ns = now_ns - self._judged_ns if self._judged_ns >= 0 else 0
        self._judged_ns = now_ns
        if holds:
            self._total_ns, self._held_ns = self._total_ns + tick_ns, now_ns
        elif now_ns - self._held_ns > to_ns(HOLD_FORGOTTEN):
            self._total_ns = 0
        return holds and self._total_ns > self._limit_ns


class Monitor:
    """Judges one frame a tick. Looks at nothing but frames: the same frames give the same verdicts, to the bit.

    Attributes:
        check_names: what `Verdict.check` is an index into.
    """

    def __init__(self, settings: MonitorSettings, geometry: ArmGeometry | None) -> None:
        """Watch the arm of `settings`; without a `geometry` nothing is known of its workspace and clearances."""
        self._settings = settings
        self._geometry = geometry
        self.reset()
        self.check_names = tuple(check.name for check in (*self._numeric, *self._others))

    def reset(self) -> None:
        """Forget all frames so far."""
        self._view = FrameView(self._settings)
        self._numeric = _numeric_checks(self._settings)
        self._others = _checks(self._settings, self._geometry)
        self._held = _Held(self._settings.hold_limit)

    def judge(self, frame: Record) -> Verdict:
        """Judge the next tick's frame, whatever it holds.

        The worst judgement is the verdict, the first of equals; the speed scale is the least of all. Holds that have
        lasted for the hold limit, with less than `HOLD_FORGOTTEN` between one and the next, are a stop.
        """
        view = self._view
        view.read(frame)
        for index, check in enumerate(self._numeric):
            judgement = check.judge(view)
            if judgement is not PASS:
                return self._verdict(index, judgement, judgement.scale)
        view.derive()
        worst, check_index, scale = None, -1, 1.0
        for index, check in enumerate(self._others, start=len(self._numeric)):
            judgement = check.judge(view)
            if judgement is PASS:
                continue
            if worst is None or (judgement.level, -judgement.scale) > (worst.level, -worst.scale):
                worst, check_index = judgement, index
            scale = min(scale, judgement.scale)
        holds = worst is not None and worst.level == VerdictLevel.HOLD
        too_long = self._held.too_long(holds, view.now_ns)
        return _PASSED if worst is None else self._verdict(check_index, worst, scale, held=too_long)

    def _verdict(self, index: int, judgement: Judgement, scale: float, *, held: bool = False) -> Verdict:
        return Verdict(
            level=VerdictLevel.STOP if held else judgement.level,
            speed_scale=scale,
            check=index,
            reason=self.check_names[index],
            joint=judgement.joint,
            value=judgement.value,
            limit=judgement.limit,
            held=held,
        )
