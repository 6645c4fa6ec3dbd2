"""Limits of joint motion and effort: measured, and as requested for this tick before it reaches the servos."""

from collections.abc import Sequence
from operator import le, sub
from typing import Literal

from robot_mbrl.contracts.monitor_settings import Grades, MonitorSettings
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.safety.frame_view import FrameView
from robot_mbrl.safety.judgement import PASS, Grader, JointGrader, Judgement
from robot_mbrl.safety.motion_history import Span, quotient


class _Overtravel:
    """Grades how far angles lie beyond their limits; reports the angle and the limit that it passed."""

    def __init__(self, settings: MonitorSettings, grades: Grades) -> None:
        self._limits = [joint.position for joint in settings.joints]
        self._grader = Grader(grades, settings.min_speed_scale)
        self._low = [low - self._grader.least for low, _ in self._limits]
        self._high = [high + self._grader.least for _, high in self._limits]

    def within(self, position: Sequence[float]) -> bool:
        return all(map(le, self._low, position)) and all(map(le, position, self._high))

    def judge(self, positions: Sequence[Sequence[float]], now_ns: int) -> Judgement:
        if not self._grader.exceeded and all(map(self.within, positions)):
            return PASS
        worst, joint, angle = 0.0, 0, 0.0
        for position in positions:
            for index, (value, (low, high)) in enumerate(zip(position, self._limits, strict=True)):
                if not low - worst <= value <= high + worst:
                    worst, joint, angle = max(low - value, value - high), index, value
        judgement = self._grader.judge(worst, now_ns, joint)
        if judgement is PASS:
            return PASS
        low, high = self._limits[joint]
        return judgement._replace(value=angle, limit=low if angle < low else high)


def _joint_grader(
    settings: MonitorSettings, grades: Grades, limit: Literal["velocity", "acceleration", "jerk"]
) -> JointGrader:
    """Grades shares of the joints' own `limit`."""
    return JointGrader(grades, settings.min_speed_scale, [getattr(joint, limit) for joint in settings.joints])


class MeasuredPosition:
    """Measured angles stay within their limits."""

    name = "measured_position"

    def __init__(self, settings: MonitorSettings) -> None:
        self._overtravel = _Overtravel(settings, settings.kinematics.measured_overtravel)

    def judge(self, view: FrameView) -> Judgement:
        """Grade the angle furthest outside [rad]."""
        return self._overtravel.judge([view.position], view.now_ns)


class CommandPosition:
    """Requested angles, and the action that they lead to, stay within the limits."""

    name = "command_position"

    def __init__(self, settings: MonitorSettings) -> None:
        self._overtravel = _Overtravel(settings, settings.kinematics.command_overtravel)

    def judge(self, view: FrameView) -> Judgement:
        """Grade the goal furthest outside [rad]."""
        goals = [view.requested] if view.has_request else []
        if view.has_action:
            goals.append(view.action)
        return self._overtravel.judge(goals, view.now_ns)


class MeasuredVelocity:
    """Joints turn no faster than they may."""

    name = "measured_velocity"

    def __init__(self, settings: MonitorSettings) -> None:
        self._grader = _joint_grader(settings, settings.kinematics.measured_velocity, "velocity")

    def judge(self, view: FrameView) -> Judgement:
        """Grade the largest share of a velocity limit [rad/s]."""
        return self._grader.judge(view.measured.velocity, view.now_ns)


class MeasuredAcceleration:
    """Joints speed up and brake no harder than they may: what is harder is a collision or a fall."""

    name = "measured_acceleration"

    def __init__(self, settings: MonitorSettings) -> None:
        self._grader = _joint_grader(settings, settings.kinematics.measured_acceleration, "acceleration")

    def judge(self, view: FrameView) -> Judgement:
        """Grade the largest share of an acceleration limit [rad/s²]."""
        return self._grader.judge(view.measured.acceleration, view.now_ns)


class MeasuredJerk:
    """Joints move smoothly."""

    name = "measured_jerk"

    def __init__(self, settings: MonitorSettings) -> None:
        self._grader = _joint_grader(settings, settings.kinematics.measured_jerk, "jerk")

    def judge(self, view: FrameView) -> Judgement:
        """Grade the largest share of the jerk limit [rad/s³]."""
        return self._grader.judge(view.measured.jerk, view.now_ns)


class CommandVelocity:
    """Neither this tick's request nor what was last executed is faster than the joint's velocity limit."""

    name = "command_velocity"

    def __init__(self, settings: MonitorSettings) -> None:
        self._grader = _joint_grader(settings, settings.kinematics.command_velocity, "velocity")

    def judge(self, view: FrameView) -> Judgement:
        """Grade the faster of the two [rad/s]."""
        if not view.commanding:
            return PASS
        faster = [*map(max, map(abs, view.request_velocity), map(abs, view.goal_velocity))]
        return _slowed(self._grader.judge(faster, view.now_ns), order=1)


class CommandAcceleration:
    """The command speeds up no harder than the joint may.

    Only speeding up is slowed for: braking too hard is not mended by going slower.
    """

    name = "command_acceleration"

    def __init__(self, settings: MonitorSettings) -> None:
        self._grader = _joint_grader(settings, settings.kinematics.command_acceleration, "acceleration")

    def judge(self, view: FrameView) -> Judgement:
        """Grade the acceleration of the requests [rad/s²]."""
        if not view.commanding:
            return PASS
        judgement = self._grader.judge(view.command.acceleration, view.now_ns)
        return _slowed_down(judgement, view.command.acceleration, view.command.velocity, order=2)


class CommandJerk:
    """The command has no kinks sharper than the jerk limit, but for those of braking."""

    name = "command_jerk"

    def __init__(self, settings: MonitorSettings) -> None:
        self._grader = _joint_grader(settings, settings.kinematics.command_jerk, "jerk")

    def judge(self, view: FrameView) -> Judgement:
        """Grade the jerk of the requests [rad/s³]."""
        if not view.commanding:
            return PASS
        judgement = self._grader.judge(view.command.jerk, view.now_ns)
        return _slowed_down(judgement, view.command.jerk, view.command.velocity, order=3)


def _slowed(judgement: Judgement, order: int) -> Judgement:
    """`judgement` with the scale that mends it: a path slowed by s has its `order`-th derivative scaled by s^order."""
    if judgement is PASS or judgement.level != VerdictLevel.SLOW:
        return judgement
    return judgement._replace(scale=(judgement.limit / judgement.value) ** (1.0 / order))


def _slowed_down(judgement: Judgement, derivative: Sequence[float], velocity: Sequence[float], order: int) -> Judgement:
    """The same where the `derivative` speeds the joint up; what brakes it is not slowed for."""
    if judgement is PASS or judgement.level != VerdictLevel.SLOW:
        return judgement
    speeding_up = derivative[judgement.joint] * velocity[judgement.joint] > 0.0
    return _slowed(judgement, order) if speeding_up else PASS


class ActionJump:
    """Successive actions of the policy lie within the arm's reach of each other."""

    name = "action_jump"

    def __init__(self, settings: MonitorSettings) -> None:
        self._grader = _joint_grader(settings, settings.kinematics.action_jump, "velocity")
        self._still = [0.0] * len(settings.joints)
        self._stamp_ns = -1
        self._action: Sequence[float] = ()

    def judge(self, view: FrameView) -> Judgement:
        """Grade the speed from one action to the next [rad/s]; nothing is known before the second."""
        stamp_ns, action = self._stamp_ns, self._action
        self._stamp_ns, self._action = view.action_ns, view.action
        if not view.running or stamp_ns < 0 or view.action_ns < 0 or view.action == action:
            return self._grader.judge(self._still, view.now_ns)
        return self._grader.judge(quotient(view.action, action, max(view.action_ns - stamp_ns, 1)), view.now_ns)


class TrackingError:
    """Joints go where they are told to, within the time that they need for it."""

    name = "tracking_error"

    def __init__(self, settings: MonitorSettings) -> None:
        self._goals = Span(settings.kinematics.tracking_lag)
        self._grader = Grader(settings.kinematics.tracking_error, settings.min_speed_scale)

    def judge(self, view: FrameView) -> Judgement:
        """Grade the distance from the span of the goals of the last moments [rad]."""
        if not (view.obliged and view.has_goal):
            return self._grader.judge(0.0, view.now_ns)
        self._goals.add(view.now_ns, view.goal)
        # Who is near the newest goal is near the span, which holds it.
        if not self._grader.exceeded and max(map(abs, map(sub, view.goal, view.position))) <= self._grader.least:
            return PASS
        lows, highs = self._goals.ends()
        worst, joint = 0.0, 0
        for index, (low, position, high) in enumerate(zip(lows, view.position, highs, strict=True)):
            if not low - worst <= position <= high + worst:
                worst, joint = max(low - position, position - high), index
        return self._grader.judge(worst, view.now_ns, joint)


class Load:
    """No servo gives all it has for long."""

    name = "load"

    def __init__(self, settings: MonitorSettings) -> None:
        unit = [1.0] * len(settings.joints)
        self._grader = JointGrader(settings.kinematics.load, settings.min_speed_scale, unit)

    def judge(self, view: FrameView) -> Judgement:
        """Grade the largest share of a servo's maximum effort."""
        return self._grader.judge(view.load, view.now_ns)


class Current:
    """Motor currents, where they are measured, stay below what the servo's torque limit takes."""

    name = "current"

    def __init__(self, settings: MonitorSettings) -> None:
        limits = [joint.current for joint in settings.joints]
        self._limits = [(index, limit) for index, limit in enumerate(limits) if limit is not None]
        self._grader = Grader(settings.kinematics.current, settings.min_speed_scale)

    def judge(self, view: FrameView) -> Judgement:
        """Grade the largest share of a current limit [A]; a current that was not measured yet is NaN and waits."""
        worst, joint, unit = 0.0, -1, 1.0
        for index, limit in self._limits:
            ratio = abs(view.current[index]) / limit
            if ratio > worst:
                worst, joint, unit = ratio, index, limit
        return self._grader.judge(worst, view.now_ns, joint, unit)
