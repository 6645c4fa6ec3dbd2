"""Whether the numbers can be believed: the first thing to know about them."""

import math
from collections.abc import Sequence
from operator import sub

from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.monitor_settings import MonitorSettings
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.safety.frame_view import FrameView
from robot_mbrl.safety.judgement import PASS, Accumulation, Grader, JointGrader, Judgement, Persistence
from robot_mbrl.safety.rate_window import RateWindow


class WellFormed:
    """The frame is one of this arm."""

    name = "well_formed"

    def __init__(self, settings: MonitorSettings) -> None:
        self._n = len(settings.joints)

    def judge(self, view: FrameView) -> Judgement:
        """Stop for a frame with another number of joints."""
        if view.well_formed:
            return PASS
        return Judgement(VerdictLevel.STOP, 0.0, math.nan, float(self._n))


class NonFinite:
    """Nothing is NaN or infinite that was measured or is asked for. NaN passes every comparison: this comes first.

    Measurements must be there; goals and requests must be there while the arm runs, the action once there is one, a
    temperature and a voltage once they were read. Elsewhere NaN means that there is nothing, and infinity is refused.
    """

    name = "non_finite"

    def __init__(self, settings: MonitorSettings) -> None:
        self._required = settings.uncertainty.required
        self._has_scores = [False, False]
        # The first prediction has nothing to be compared with: a disagreement is due at once, a residual in a while.
        self._missing = Persistence(0.0), Persistence(settings.uncertainty.first_residual)

    def judge(self, view: FrameView) -> Judgement:
        """Stop for the first number that is not one, and say which joint's and what it is."""
        if not self._all_there(view):
            judgement = self._look_closer(view)
            if judgement is not PASS:
                return judgement
        return self._judge_scores(view)

    def _all_there(self, view: FrameView) -> bool:
        """Whether everything is a number: one that is not finite makes the sum of all so, too."""
        measured = sum(view.position) + sum(view.velocity) + sum(view.reported_velocity) + sum(view.load)
        commanded = sum(view.goal) + sum(view.requested) + (sum(view.action) if view.has_action else 0.0)
        slow = sum(view.temperature) + sum(view.voltage)
        return math.isfinite(measured + commanded + slow) and not any(map(math.isinf, view.current))

    def _look_closer(self, view: FrameView) -> Judgement:
        """What may be missing is not held against the frame."""
        for values in (view.position, view.velocity, view.reported_velocity, view.load):
            if not all(map(math.isfinite, values)):
                return _not_finite(values)
        for values in (view.goal, view.requested):
            if not all(map(math.isfinite, values)) and (view.running or not all(map(math.isnan, values))):
                return _not_finite(values)
        if view.has_action and not all(map(math.isfinite, view.action)):
            return _not_finite(view.action)
        if any(map(math.isinf, view.current)):
            return _not_finite([value if math.isinf(value) else 0.0 for value in view.current])
        for values in (view.temperature, view.voltage):
            if not all(map(math.isfinite, values)):
                read = [value if stamp >= 0 else 0.0 for value, stamp in zip(values, view.health_ns, strict=True)]
                if not all(map(math.isfinite, read)):
                    return _not_finite(read)
        return PASS

    def _judge_scores(self, view: FrameView) -> Judgement:
        """A score may be absent until it was there once, unless it is required."""
        for index, (score, missing) in enumerate(zip((view.disagreement, view.residual), self._missing, strict=True)):
            if math.isinf(score):
                return Judgement(VerdictLevel.STOP, 0.0, score)
            due = missing.reached(view.has_action and math.isnan(score), view.now_ns)
            if not math.isnan(score):
                self._has_scores[index] = True
            elif not view.has_action:
                self._has_scores[index] = False
            elif self._has_scores[index] or (self._required and due):
                return Judgement(VerdictLevel.STOP, 0.0, score)
        return PASS


def _not_finite(values: Sequence[float]) -> Judgement:
    joint = next(index for index, value in enumerate(values) if not math.isfinite(value))
    return Judgement(VerdictLevel.STOP, 0.0, values[joint], math.nan, joint)


class TimeStamps:
    """Ticks advance, measurements do not go back, and a measurement is young when it is judged.

    A bus cycle that failed leaves the measurement before in the frame, with its stamp: that will do while it is young.
    """

    name = "time_stamps"

    def __init__(self, settings: MonitorSettings) -> None:
        self._before: tuple[int, int, int] | None = None
        self._grader = Grader(settings.plausibility.age, settings.min_speed_scale)

    def judge(self, view: FrameView) -> Judgement:
        """Stop when a tick stands still or a stamp goes back [s]; grade the distance of measurement and tick [s]."""
        before, self._before = self._before, (view.tick, view.now_ns, view.stamp_ns)
        if before is not None:
            tick, now_ns, stamp_ns = before
            if view.tick <= tick or view.now_ns <= now_ns or view.stamp_ns < stamp_ns:
                advances = view.tick - tick, view.now_ns - now_ns, view.stamp_ns - stamp_ns
                return Judgement(VerdictLevel.STOP, 0.0, min(advances) / NANOSECONDS, 0.0)
        return self._grader.judge(abs(view.now_ns - view.stamp_ns) / NANOSECONDS, view.now_ns)


class Jump:
    """No joint is suddenly somewhere else."""

    name = "jump"

    def __init__(self, settings: MonitorSettings) -> None:
        self._velocity = [joint.velocity for joint in settings.joints]
        self._grader = Grader(settings.plausibility.jump, settings.min_speed_scale)
        self._before: tuple[int, Sequence[float]] | None = None

    def judge(self, view: FrameView) -> Judgement:
        """Grade the step beyond what the velocity limit allows since the last reading [rad]."""
        before, self._before = self._before, (view.stamp_ns, view.position)
        if before is None:
            return PASS
        stamp_ns, position = before
        # A step that is small enough for an arm at rest is small enough.
        if not self._grader.exceeded and max(map(abs, map(sub, view.position, position))) <= self._grader.least:
            return PASS
        seconds = max(view.stamp_ns - stamp_ns, 0) / NANOSECONDS
        worst, joint = 0.0, 0
        for index, velocity in enumerate(self._velocity):
            beyond = abs(view.position[index] - position[index]) - velocity * seconds
            if beyond > worst:
                worst, joint = beyond, index
        return self._grader.judge(worst, view.now_ns, joint)


class Frozen:
    """A joint whose goal has left does not go on reading the same angle.

    A goal that swings past where the joint stuck is near that place for a moment, on each of its ways: what counts is
    for how long it was away in all.
    """

    name = "frozen"

    def __init__(self, settings: MonitorSettings) -> None:
        self._travel = settings.plausibility.frozen_travel
        self._left = [Accumulation(settings.plausibility.frozen_time) for _ in settings.joints]
        self._anchors: list[tuple[float, float]] | None = None

    def judge(self, view: FrameView) -> Judgement:
        """Stop for an angle unchanged to the bit while its goal is away [rad] from where it was at the last change."""
        if not (view.obliged and view.has_goal):
            self._anchors = None
            return PASS
        if self._anchors is None:
            self._anchors = [(math.nan, math.nan)] * len(self._left)
        judgement = PASS
        for joint, lasting in enumerate(self._left):
            if view.position[joint] != self._anchors[joint][0]:
                self._anchors[joint] = (view.position[joint], view.goal[joint])
                lasting.forget()
            away = abs(view.goal[joint] - self._anchors[joint][1])
            if lasting.reached(away > self._travel, view.now_ns):
                judgement = Judgement(VerdictLevel.STOP, 0.0, away, self._travel, joint)
        return judgement


class VelocityAgainstDifference:
    """What the servos report as velocity agrees with how their angles change."""

    name = "velocity_against_difference"

    def __init__(self, settings: MonitorSettings) -> None:
        unit = [1.0] * len(settings.joints)
        self._grader = JointGrader(settings.plausibility.velocity_mismatch, settings.min_speed_scale, unit)

    def judge(self, view: FrameView) -> Judgement:
        """Grade the largest disagreement [rad/s]."""
        return self._grader.judge([*map(sub, view.reported_velocity, view.measured.velocity)], view.now_ns)


class BusErrors:
    """Few answers of the servos are corrupt or missing."""

    name = "bus_errors"

    def __init__(self, settings: MonitorSettings) -> None:
        self._window = RateWindow(settings.plausibility.bus_window)
        self._grader = Grader(settings.plausibility.bus_errors, settings.min_speed_scale)

    def judge(self, view: FrameView) -> Judgement:
        """Grade their share of the transactions of the last moments."""
        share = self._window.share(view.now_ns, view.bus_errors, view.transactions)
        return self._grader.judge(share, view.now_ns)
