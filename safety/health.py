"""Whether the servos are well: heat, supply, stalls, and what they say of themselves."""

import math
from operator import sub

from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.monitor_settings import Grades, MonitorSettings
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.safety.frame_view import FrameView
from robot_mbrl.safety.judgement import PASS, Grader, Judgement, Persistence


class Temperature:
    """Servos that grow hot are driven more slowly, and not at all before they would switch themselves off."""

    name = "temperature"

    def __init__(self, settings: MonitorSettings) -> None:
        self._grader = Grader(settings.health.temperature, settings.min_speed_scale)

    def judge(self, view: FrameView) -> Judgement:
        """Grade the hottest servo [°C]; one that was not read yet is left to `HealthAge`."""
        worst, joint = -math.inf, -1
        for index, temperature in enumerate(view.temperature):
            if temperature > worst:
                worst, joint = temperature, index
        return self._grader.judge(worst, view.now_ns, joint)


class _VoltageDeviation:
    """Grades the largest share by which a supply deviates to one side; reports volts."""

    def __init__(self, settings: MonitorSettings, grades: Grades, sign: int) -> None:
        self._nominal = [joint.supply_voltage for joint in settings.joints]
        self._grader = Grader(grades, settings.min_speed_scale)
        self._sign = sign

    def judge(self, view: FrameView) -> Judgement:
        """Grade the supply that deviates most from its nominal one [V]; one that was not read yet waits."""
        worst, joint = 0.0, 0
        for index, voltage in enumerate(view.voltage):
            share = self._sign * (voltage / self._nominal[index] - 1.0)
            if share > worst:
                worst, joint = share, index
        judgement = self._grader.judge(worst, view.now_ns, joint)
        if judgement is PASS:
            return PASS
        limit = self._nominal[joint] * (1.0 + self._sign * judgement.limit)
        return judgement._replace(value=view.voltage[joint], limit=limit)


class Undervoltage(_VoltageDeviation):
    """The supply does not sag: servos that lose it drop the arm."""

    name = "undervoltage"

    def __init__(self, settings: MonitorSettings) -> None:
        super().__init__(settings, settings.health.voltage_sag, -1)


class Overvoltage(_VoltageDeviation):
    """The supply is not above what the servos bear: the wrong adapter, or braking into one that takes nothing back."""

    name = "overvoltage"

    def __init__(self, settings: MonitorSettings) -> None:
        super().__init__(settings, settings.health.voltage_excess, 1)


class HealthAge:
    """Temperature and voltage of every servo are read again and again."""

    name = "health_age"

    def __init__(self, settings: MonitorSettings) -> None:
        self._start_ns: int | None = None
        self._grader = Grader(settings.health.age, settings.min_speed_scale)

    def judge(self, view: FrameView) -> Judgement:
        """Grade the oldest reading [s]; what was never read counts from the first tick."""
        if self._start_ns is None:
            self._start_ns = view.now_ns
        stamps = view.health_ns
        if min(stamps) < 0:
            stamps = [stamp if stamp >= 0 else self._start_ns for stamp in stamps]
        oldest = min(stamps)
        return self._grader.judge((view.now_ns - oldest) / NANOSECONDS, view.now_ns, stamps.index(oldest))


class Stall:
    """No servo pushes for long against what does not give way."""

    name = "stall"

    def __init__(self, settings: MonitorSettings) -> None:
        self._load = settings.health.stall_load
        self._velocity = settings.health.stall_velocity
        self._lasting = [Persistence(settings.health.stall_time) for _ in settings.joints]

    def judge(self, view: FrameView) -> Judgement:
        """Stop for a load that is high while the joint rests, for too long."""
        judgement = PASS
        for joint, lasting in enumerate(self._lasting):
            load = abs(view.load[joint])
            stalled = load > self._load and abs(view.measured.velocity[joint]) < self._velocity
            if lasting.reached(stalled, view.now_ns):
                judgement = Judgement(VerdictLevel.STOP, 0.0, load, self._load, joint)
        return judgement


class Jam:
    """A joint whose goal runs away from it turns. Sooner known than a stall, whose load may be low at first."""

    name = "jam"

    def __init__(self, settings: MonitorSettings) -> None:
        health = settings.health
        self._error, self._speed, self._velocity = health.jam_error, health.jam_speed, health.stall_velocity
        self._lasting = [Persistence(health.jam_time) for _ in settings.joints]
        self._none = [0.0] * len(settings.joints)
        self._suspected = False

    def judge(self, view: FrameView) -> Judgement:
        """Stop for a joint that rests [rad] behind a goal that is on its way, for too long."""
        errors = [*map(sub, view.goal, view.position)] if view.obliged and view.has_goal else self._none
        if not self._suspected and max(map(abs, errors)) <= self._error:
            return PASS
        self._suspected, judgement = False, PASS
        motion = zip(self._lasting, errors, view.goal_velocity, view.measured.velocity, strict=True)
        for joint, (lasting, error, goal_velocity, velocity) in enumerate(motion):
            behind = error if goal_velocity > 0.0 else -error
            jammed = behind > self._error and abs(goal_velocity) > self._speed and abs(velocity) < self._velocity
            self._suspected |= jammed
            if lasting.reached(jammed, view.now_ns):
                judgement = Judgement(VerdictLevel.STOP, 0.0, behind, self._error, joint)
        return judgement


class HardwareErrors:
    """No servo reports a hardware error."""

    name = "hardware_errors"

    def __init__(self, settings: MonitorSettings) -> None:
        self._n = len(settings.joints)

    def judge(self, view: FrameView) -> Judgement:
        """Stop for any flag; the value is the flags."""
        for joint, flags in enumerate(view.hardware_error):
            if flags:
                return Judgement(VerdictLevel.STOP, 0.0, float(flags), 0.0, joint)
        return PASS
