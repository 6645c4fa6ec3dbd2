"""Whether the loop, the policy and the operator keep their time."""

from robot_mbrl.contracts.clock import NANOSECONDS, to_ns
from robot_mbrl.contracts.monitor_settings import MonitorSettings
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.safety.frame_view import FrameView
from robot_mbrl.safety.judgement import PASS, Grader, Judgement, Persistence
from robot_mbrl.safety.rate_window import RateWindow


class Lateness:
    """No tick comes long after it was due, and while the arm is commanded no deadline long after the one before.

    Switching the torque and the checks of a reset take their time, on the way from or to a state without commands.
    """

    name = "lateness"

    def __init__(self, settings: MonitorSettings) -> None:
        self._deadline_ns: int | None = None
        self._grader = Grader(settings.timing.lateness, settings.min_speed_scale)

    def judge(self, view: FrameView) -> Judgement:
        """Grade the longer of the two [s]."""
        before, self._deadline_ns = self._deadline_ns, view.deadline_ns if view.commanding else None
        gap = 0 if before is None or not view.commanding else view.deadline_ns - before
        late = max(view.now_ns - view.deadline_ns, gap)
        return self._grader.judge(late / NANOSECONDS, view.now_ns)


class MissedTicks:
    """Few ticks are skipped."""

    name = "missed_ticks"

    def __init__(self, settings: MonitorSettings) -> None:
        self._window = RateWindow(settings.timing.missed_window)
        self._ticks = 0
        self._grader = Grader(settings.timing.missed_ticks, settings.min_speed_scale)

    def judge(self, view: FrameView) -> Judgement:
        """Grade their share of all ticks of the last moments."""
        self._ticks += 1
        share = self._window.share(view.now_ns, view.missed_ticks, view.missed_ticks + self._ticks)
        return self._grader.judge(share, view.now_ns)


class StaleAction:
    """What the arm executes is a policy's present will."""

    name = "stale_action"

    def __init__(self, settings: MonitorSettings) -> None:
        self._lifetime_ns = to_ns(settings.timing.action_lifetime)
        self._waiting = Persistence(settings.timing.first_action)
        self._first_action = settings.timing.first_action
        self._grader = Grader(settings.timing.action_overdue, settings.min_speed_scale)

    def judge(self, view: FrameView) -> Judgement:
        """Grade how long the action is past its expiry [s]; stop for one that claims too long a life or never comes."""
        if not view.running:
            self._waiting.reached(False, view.now_ns)
            return self._grader.judge(0.0, view.now_ns)
        if self._waiting.reached(view.action_ns < 0, view.now_ns):
            return Judgement(VerdictLevel.STOP, 0.0, self._first_action, self._first_action)
        if view.action_ns < 0:
            return PASS
        claimed = view.action_expires_ns - min(view.action_ns, view.now_ns)
        if claimed > self._lifetime_ns:
            return Judgement(VerdictLevel.STOP, 0.0, claimed / NANOSECONDS, self._lifetime_ns / NANOSECONDS)
        overdue = max(view.now_ns - view.action_expires_ns, 0)
        return self._grader.judge(overdue / NANOSECONDS, view.now_ns)


class LostHeartbeat:
    """The operator's console is there, where one is asked for."""

    name = "lost_heartbeat"

    def __init__(self, settings: MonitorSettings) -> None:
        self._grader = Grader(settings.timing.heartbeat, settings.min_speed_scale)

    def judge(self, view: FrameView) -> Judgement:
        """Grade the time since the last heartbeat [s]."""
        silence = view.now_ns - view.heartbeat_ns if view.heartbeat_ns >= 0 else 0
        return self._grader.judge(silence / NANOSECONDS, view.now_ns)
