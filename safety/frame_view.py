"""`FrameView`: one tick as the checks see it, and what several of them derive from it and from the ticks before."""

import math
from collections.abc import Callable, Sequence
from enum import IntEnum, auto
from itertools import accumulate
from operator import itemgetter
from struct import Struct
from typing import Any, Final

import numpy as np

from robot_mbrl.contracts.braking import foreseen_ways
from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record
from robot_mbrl.contracts.geometry import ArmGeometry
from robot_mbrl.contracts.monitor_settings import MonitorSettings
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.safety.motion_history import Derivatives, MotionHistory, quotient

AT_SPEED = 0.05
"""From here on a joint moves [rad/s], and friction may leave it past its goal by all of `rest_error`."""
STEADY = 0.25
"""A joint that takes less than this share of its acceleration limit follows its goals steadily: above the noise."""
LONGEST_ACTION_NS = 500_000_000
"""Actions further apart than this are no motion [ns]."""
LONGEST_STEP_NS = 20_000_000
"""Ticks further apart than this give no right to a longer step of the command [ns]: two ticks of the slowest loop."""

_KINDS: Final = [kind for kind, *_ in (FRAME_DTYPE.fields or {}).values()]
_COUNTS: Final = [math.prod(kind.shape) for kind in _KINDS]
_PLACES: Final = dict(zip(FRAME_DTYPE.names or (), accumulate(_COUNTS, initial=0), strict=False))
"""Where each field begins among all numbers of a frame."""
_NUMBERS: Final = Struct("@" + "".join(f"{count}{kind.base.char}" for count, kind in zip(_COUNTS, _KINDS, strict=True)))
"""Turns the bytes of a frame into plain numbers, in a third of the time that NumPy takes for it."""

_SCALARS: Final = (
    *("joints", "state", "corrupt", "timeouts"),
    *("tick", "deadline_ns", "wake_ns", "stamp_ns", "missed_ticks"),
    *("action_ns", "action_expires_ns", "disagreement", "residual"),
    *("transactions", "heartbeat_ns"),
)
_ARRAYS: Final = (
    *("position", "reported_velocity", "velocity", "load"),
    *("current", "temperature", "voltage", "hardware_error", "health_ns"),
    *("goal_position", "action_position", "requested_position"),
)
"""Both in the order in which `FrameView.read` takes them."""


def _picker(joints: int) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Takes scalars, and arrays cut to an arm's joints, out of the numbers of a frame."""
    places = [_PLACES[name] for name in _ARRAYS]
    return itemgetter(*map(_PLACES.get, _SCALARS), *(slice(place, place + joints) for place in places))


_HOLDING: Final = int(ControlState.HOLDING)
_AT_REST: Final = frozenset(
    map(int, (ControlState.IDLE, ControlState.HOLDING, ControlState.STOPPED, ControlState.FAULT))
)
_NOT_RUNNING: Final = _AT_REST | {int(ControlState.ARMED), int(ControlState.PARKING)}


class Pose(IntEnum):
    """Angles that the shape of the arm is looked at in."""

    MEASURED = auto()
    GOAL = auto()
    """Held by the servos."""
    STOP = auto()
    """Where the arm would swing to if its goals did what is requested for this tick and braked from the next on."""
    REST = auto()
    """Where it would do so by what it sags, too, which is what its lag does not explain."""
    WISH = auto()
    """Where the arm would swing to if the policy braked from its action."""


_MOVING: Final = (Pose.STOP,)
_BRAKING: Final = (Pose.STOP, Pose.WISH)
_WAITING: Final = (Pose.WISH,)


class FrameView:
    """The inputs of one tick as plain numbers, sequences of n joints, in the units of `contracts.frame`.

    Plain numbers, not arrays: for so few joints Python computes faster with them.

    Attributes:
        well_formed: whether the frame is one of this arm; otherwise only `now_ns` is of use.
        running: whether actions are being executed. A state that does not exist counts as running.
        has_action: whether there is an action that is being executed, or will be when the arm goes on.
        has_goal: whether the servos hold goals.
        has_request: whether a goal is requested for this tick.
        commanding: whether requests are being executed.
        obliged: whether the joints are to be at their goals: also on hold, which goes on by itself when all is well.
        now_ns: when the tick began [ns].
        measured: derivatives of the measured angles, by their time stamps.
        command: derivatives of the requests so far, by the deadlines.
        request_velocity: (n,) of this tick's request since the one before, or since the held goals where there is none.
        goal_velocity: (n,) at which the goals went that the servos now hold.
        sag: (n,) what the arm is off its goals by [rad], but for its lag.
    """

    tick: int
    deadline_ns: int
    stamp_ns: int
    missed_ticks: int
    action_ns: int
    action_expires_ns: int
    disagreement: float
    residual: float
    transactions: int
    bus_errors: int
    heartbeat_ns: int
    position: Sequence[float]
    reported_velocity: Sequence[float]
    velocity: Sequence[float]
    load: Sequence[float]
    current: Sequence[float]
    temperature: Sequence[float]
    voltage: Sequence[float]
    hardware_error: Sequence[int]
    health_ns: Sequence[int]
    goal: Sequence[float]
    action: Sequence[float]
    requested: Sequence[float]

    def __init__(self, settings: MonitorSettings) -> None:
        """A view for the arm of `settings`, empty until `read`."""
        self._n = len(settings.joints)
        self._pick = _picker(self._n)
        self._limits = [joint.position for joint in settings.joints]
        self._decelerations = [joint.acceleration for joint in settings.joints]
        self._jerks = [joint.jerk for joint in settings.joints]
        self._measured_history = MotionHistory(self._n, settings.kinematics.window)
        self._window = settings.kinematics.window
        workspace = settings.workspace
        self._lag, self._overshoot, self._rest_error = (
            workspace.following_lag,
            workspace.following_overshoot,
            workspace.rest_error,
        )
        self._command_history = MotionHistory(self._n, self._window)
        zeros: Sequence[float] = [0.0] * self._n
        self._still = Derivatives(zeros, zeros, zeros)
        self.measured, self.command = self._still, self._still
        self.request_velocity = self.goal_velocity = self._goal_before = self._request_before = zeros
        self._stride, self._stride_change = zeros, zeros
        self._period_ns = LONGEST_STEP_NS
        self._blind = self._was_blind = False
        self._action_velocity = self._action_before = zeros
        self._action_before_ns = -1
        self._moved_on_hold = False
        self._free_stamp_ns = -1
        self.sag: Sequence[float] = zeros
        self._deadline_before: int | None = None
        self._step_before_ns = 0
        self._was_running = False
        self._stamp_before: int | None = None
        self.well_formed = self.running = self.holding = self.obliged = False
        self.commanding = self._was_commanding = False
        self.has_action = self.has_goal = self.has_request = False
        self.now_ns = 0

    def read(self, frame: Record) -> None:
        """Take the numbers out of `frame`; derives nothing from them yet."""
        (
            joints,
            state,
            corrupt,
            timeouts,
            self.tick,
            self.deadline_ns,
            self.now_ns,
            self.stamp_ns,
            self.missed_ticks,
            self.action_ns,
            self.action_expires_ns,
            self.disagreement,
            self.residual,
            self.transactions,
            self.heartbeat_ns,
            self.position,
            self.reported_velocity,
            self.velocity,
            self.load,
            self.current,
            self.temperature,
            self.voltage,
            self.hardware_error,
            self.health_ns,
            self.goal,
            self.action,
            self.requested,
        ) = self._pick(_NUMBERS.unpack(frame.tobytes()))
        self.bus_errors = corrupt + timeouts
        self.well_formed = joints == self._n
        self.running = state not in _NOT_RUNNING
        self.holding = state == _HOLDING
        self._was_commanding, self.commanding = self.commanding, state not in _AT_REST
        self.obliged = self.commanding or self.holding
        self.has_action = self.action_ns >= 0 and (self.running or self.holding)
        # All or none of them are numbers once `NonFinite` has passed the frame.
        self.has_goal, self.has_request = not math.isnan(self.goal[0]), not math.isnan(self.requested[0])

    def derive(self) -> None:
        """Work out the motion, from a frame whose numbers are finite."""
        self._poses: dict[Pose, FloatArray] = {}
        self._tools: dict[Pose, Sequence[float]] = {}
        self._clearances: dict[Pose, float] = {}
        # A cycle of the bus that failed leaves the measurement before in the frame.
        self._was_blind, self._blind = self._blind, self.stamp_ns == self._stamp_before
        if not self._blind:
            self.measured = self._measured_history.derivatives(self.stamp_ns, self.position)
            self._measured_history.append(self.stamp_ns, self.position)
            self._stamp_before = self.stamp_ns
        if not self.holding:
            self._free_stamp_ns = self.stamp_ns
        if self.has_action and self.action_ns != self._action_before_ns:
            self._derive_action()
        self._derive_command()
        self._derive_sag()

    def _derive_action(self) -> None:
        step_ns = self.action_ns - self._action_before_ns
        answers_hold = self.holding and self.action_ns > self._free_stamp_ns
        self._moved_on_hold = answers_hold and (self._moved_on_hold or self.action != self._action_before)
        # The time of a policy that asks for the same ever since the arm is on hold stands still: it will go on as fast
        # as it was.
        if not answers_hold or self._moved_on_hold:
            self._action_velocity = self._still.velocity
            if self._action_before_ns >= 0 and 0 < step_ns <= LONGEST_ACTION_NS:
                self._action_velocity = quotient(self.action, self._action_before, step_ns)
        self._action_before, self._action_before_ns = self.action, self.action_ns

    def _derive_command(self) -> None:
        before, self._deadline_before = self._deadline_before, self.deadline_ns if self.has_goal else None
        if before is None or not self.has_goal:
            self.command = self._still
            self.request_velocity = self.goal_velocity = self._still.velocity
            self._goal_before = self._request_before = self.goal
            self._stride = self._stride_change = self._still.velocity
            self._step_before_ns = 0
            return
        requested = self.requested if self.has_request else self.goal
        if self.running != self._was_running:
            # Whoever takes the motion over goes on from the goals that the servos hold.
            self._command_history = MotionHistory(self._n, self._window)
            self._request_before, self._was_running = self.goal, self.running
        step_ns = min(max(self.deadline_ns - before, 1), LONGEST_STEP_NS)
        # Signs of life between two ticks come from an arm that is not commanded, and are no tick's length apart.
        if self.commanding and self._was_commanding and not (self._blind or self._was_blind):
            self._period_ns = min(self._period_ns, step_ns)
        self.request_velocity = quotient(requested, self._request_before, step_ns)
        self.goal_velocity = self._still.velocity
        if self._step_before_ns:
            self.goal_velocity = quotient(self.goal, self._goal_before, self._step_before_ns)
        self._derive_stride()
        self.command = self._command_history.derivatives(self.deadline_ns, requested)
        self._command_history.append(self.deadline_ns, requested)
        self._goal_before, self._request_before = self.goal, requested
        self._step_before_ns = step_ns

    def _derive_stride(self) -> None:
        """How the goals go on: by a period's way with each that is sent, however late; a stop goes on by time."""
        if self._was_blind and self.commanding and self.goal == self._goal_before:
            # None was sent, and the next one continues the ones before it.
            return
        by_time = not self.commanding or not self._step_before_ns
        stride = self.goal_velocity if by_time else quotient(self.goal, self._goal_before, self._period_ns)
        changes = quotient(stride, self._stride, self._period_ns)
        self._stride_change = [min(max(a, -most), most) for a, most in zip(changes, self._decelerations, strict=True)]
        self._stride = stride

    def _derive_sag(self) -> None:
        """A servo without integral gain follows its goal `following_lag` behind, and is off it by its load's torque.

        While it gains or loses speed the lag is another, and what it hung below its goals before is what is known.
        """
        if not self.has_goal:
            self.sag = self._still.velocity
            return
        self.sag = [
            position - goal + self._lag * velocity if max(abs(real), abs(wanted)) < STEADY * most else before
            for position, goal, velocity, real, wanted, most, before in zip(
                self.position,
                self.goal,
                self.measured.velocity,
                self.measured.acceleration,
                self._stride_change,
                self._decelerations,
                self.sag,
                strict=True,
            )
        ]

    # -- shape --------------------------------------------------------------------------------------------------

    @property
    def ahead(self) -> tuple[Pose, ...]:
        """Where the arm is going: while it rests on hold only where the policy wants it, for it will go on to there."""
        if not (self.holding and self.has_action):
            return _MOVING
        return _BRAKING if any(self._stride) else _WAITING

    def tool(self, geometry: ArmGeometry, pose: Pose) -> Sequence[float]:
        """(3,) tool frame [m] in `pose`."""
        tool = self._tools.get(pose)
        if tool is None:
            tool = self._tools[pose] = geometry.tool_position(self._angles(pose)).tolist()
        return tool

    def clearance(self, geometry: ArmGeometry, pose: Pose) -> float:
        """Distance of the nearest pair of links [m] in `pose`."""
        clearance = self._clearances.get(pose)
        if clearance is None:
            clearance = self._clearances[pose] = geometry.clearance(self._angles(pose)).distance
        return clearance

    def _angles(self, pose: Pose) -> FloatArray:
        """(n,) [rad]. Without goals and requests the arm is where it is measured, whatever is asked."""
        angles = self._poses.get(pose)
        if angles is None:
            if pose is Pose.WISH:
                angles = self._swung_to(self.action, self._action_velocity, self._still.acceleration)
            elif pose is Pose.REST:
                angles = self._where_the_arm_sags_to()
            elif pose is Pose.MEASURED or not self.has_goal:
                angles = np.array(self.position)
            elif pose is Pose.GOAL or not self.has_request:
                angles = np.array(self.goal)
            else:
                angles = self._where_braking_ends()
            self._poses[pose] = angles
        return angles

    def _where_braking_ends(self) -> FloatArray:
        """From the goals that this tick leads to: the request, or as near to it as acceleration and jerk let them."""
        if not self._step_before_ns or not (self.requested != self.goal or any(self._stride)):
            return np.array(self.requested)
        if self._blind and self.commanding:
            # No goal will be sent, and the next one continues the ones before it.
            return self._swung_to(self.goal, self._stride, self._stride_change)
        step = self._period_ns / NANOSECONDS
        motion = zip(self.goal, self.requested, self._stride, self._stride_change, strict=True)
        wishes = [(((to - goal) / step - v) / step, a) for goal, to, v, a in motion]
        limits = zip(wishes, self._decelerations, self._jerks, strict=True)
        accelerations = [
            max(-most, before - jerk * step, min(wish, before + jerk * step, most))
            for (wish, before), most, jerk in limits
        ]
        velocities = [v + a * step for v, a in zip(self._stride, accelerations, strict=True)]
        # The mean over the tick, brought forward to its end.
        last = [v + a * step / 2.0 for v, a in zip(velocities, accelerations, strict=True)]
        goals = [goal + v * step for goal, v in zip(self.goal, velocities, strict=True)]
        return self._swung_to(goals, last, accelerations)

    def _swung_to(self, start: Sequence[float], velocity: Sequence[float], acceleration: Sequence[float]) -> FloatArray:
        """(n,) how far the arm swings when its goals brake from there [rad]: they stay within the position limits."""
        ways = foreseen_ways(velocity, acceleration, self._decelerations, self._jerks)
        ends = zip(start, ways, velocity, self._limits, strict=True)
        return np.array([min(max(begin + way, low), high) + self._past_goal(v) for begin, way, v, (low, high) in ends])

    def _past_goal(self, velocity: float) -> float:
        """How far a joint swings past its last goal [rad]; one that hardly moves is not left far off."""
        return self._overshoot * velocity + self._rest_error * min(max(velocity / AT_SPEED, -1.0), 1.0)

    def _where_the_arm_sags_to(self) -> FloatArray:
        if not self.has_goal:
            return np.array(self.position)
        sagging: FloatArray = self._angles(Pose.STOP) + np.array(self.sag)
        return sagging
