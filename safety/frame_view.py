"""`FrameView`: one tick as the checks see it, and what several of them derive from it and from the ticks before."""

import math

import numpy as np

from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record
from robot_mbrl.contracts.geometry import ArmGeometry, Clearance
from robot_mbrl.contracts.monitor_settings import MonitorSettings
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.safety.motion_history import Derivatives, MotionHistory, quotient

LONGEST_STEP_NS = 20_000_000
"""Ticks further apart than this give no right to a longer step of the command [ns]: two ticks of the slowest loop."""

_NAMES = FRAME_DTYPE.names or ()
_AT_REST = frozenset(map(int, (ControlState.IDLE, ControlState.HOLDING, ControlState.STOPPED, ControlState.FAULT)))
_NOT_RUNNING = _AT_REST | {int(ControlState.ARMED), int(ControlState.PARKING)}


class FrameView:
    """The inputs of one tick as plain numbers, lists of n joints, in the units of `contracts.frame`.

    Attributes:
        well_formed: whether the frame is one of this arm; otherwise only `now_ns` is of use.
        running: whether actions are being executed. A state that does not exist counts as running.
        has_action: whether there is an action that is being executed, or will be when the arm goes on.
        commanding: whether requests are being executed.
        now_ns: when the tick began [ns].
        measured: derivatives of the measured angles, by their time stamps.
        command: derivatives of the requests so far, by the deadlines.
        request_velocity: (n,) of this tick's request since the one before, or since the held goals where there is none.
        goal_velocity: (n,) at which the goals went that the servos now hold.
    """

    def __init__(self, settings: MonitorSettings) -> None:
        """A view for the arm of `settings`, empty until `read`."""
        self._n = len(settings.joints)
        self._limits = [joint.position for joint in settings.joints]
        self._deceleration = [joint.acceleration for joint in settings.joints]
        self._measured_history = MotionHistory(self._n, settings.kinematics.window)
        self._window = settings.kinematics.window
        self._command_history = MotionHistory(self._n, self._window)
        zeros = [0.0] * self._n
        self._still = Derivatives(zeros, zeros, zeros)
        self.measured, self.command = self._still, self._still
        self.request_velocity = self.goal_velocity = self._goal_before = self._request_before = zeros
        self._deadline_before: int | None = None
        self._step_before_ns = 0
        self._was_running = False
        self._stamp_before: int | None = None
        self.well_formed = self.running = self.holding = self.has_action = self.commanding = False
        self.now_ns = 0

    def read(self, frame: Record) -> None:
        """Take the numbers out of `frame`; derives nothing from them yet."""
        fields = dict(zip(_NAMES, frame.item(), strict=True))
        n = self._n
        self.well_formed = fields["joints"] == n
        state = fields["state"]
        self.running = state not in _NOT_RUNNING
        self.holding = state == ControlState.HOLDING
        self.commanding = state not in _AT_REST
        self.tick: int = fields["tick"]
        self.deadline_ns: int = fields["deadline_ns"]
        self.now_ns = fields["wake_ns"]
        self.stamp_ns: int = fields["stamp_ns"]
        self.missed_ticks: int = fields["missed_ticks"]
        self.action_ns: int = fields["action_ns"]
        self.has_action = self.action_ns >= 0 and (self.running or self.holding)
        self.action_expires_ns: int = fields["action_expires_ns"]
        self.disagreement: float = fields["disagreement"]
        self.residual: float = fields["residual"]
        self.transactions: int = fields["transactions"]
        self.bus_errors: int = fields["corrupt"] + fields["timeouts"]
        self.heartbeat_ns: int = fields["heartbeat_ns"]
        self.position: list[float] = fields["position"][:n].tolist()
        self.reported_velocity: list[float] = fields["reported_velocity"][:n].tolist()
        self.velocity: list[float] = fields["velocity"][:n].tolist()
        self.load: list[float] = fields["load"][:n].tolist()
        self.current: list[float] = fields["current"][:n].tolist()
        self.temperature: list[float] = fields["temperature"][:n].tolist()
        self.voltage: list[float] = fields["voltage"][:n].tolist()
        self.hardware_error: list[int] = fields["hardware_error"][:n].tolist()
        self.health_ns: list[int] = fields["health_ns"][:n].tolist()
        self.goal: list[float] = fields["goal_position"][:n].tolist()
        self.action: list[float] = fields["action_position"][:n].tolist()
        self.requested: list[float] = fields["requested_position"][:n].tolist()

    @property
    def has_goal(self) -> bool:
        """Whether the servos hold goals; all or none are numbers once `NonFinite` has passed the frame."""
        return not math.isnan(self.goal[0])

    @property
    def has_request(self) -> bool:
        """Whether a goal is requested for this tick."""
        return not math.isnan(self.requested[0])

    def derive(self) -> None:
        """Work out the motion, from a frame whose numbers are finite."""
        self._ahead: list[float] | None = None
        self._tools: dict[bool, list[float]] = {}
        self._clearances: dict[bool, Clearance] = {}
        # A cycle of the bus that failed leaves the measurement before in the frame.
        if self.stamp_ns != self._stamp_before:
            self.measured = self._measured_history.derivatives(self.stamp_ns, self.position)
            self._measured_history.append(self.stamp_ns, self.position)
            self._stamp_before = self.stamp_ns
        self._derive_command()

    def _derive_command(self) -> None:
        before, self._deadline_before = self._deadline_before, self.deadline_ns if self.has_goal else None
        if before is None or not self.has_goal:
            self.command = self._still
            self.request_velocity = self.goal_velocity = self._still.velocity
            self._goal_before = self._request_before = self.goal
            self._step_before_ns = 0
            return
        requested = self.requested if self.has_request else self.goal
        if self.running != self._was_running:
            # Whoever takes the motion over goes on from the goals that the servos hold.
            self._command_history = MotionHistory(self._n, self._window)
            self._request_before, self._was_running = self.goal, self.running
        step_ns = min(max(self.deadline_ns - before, 1), LONGEST_STEP_NS)
        self.request_velocity = quotient(requested, self._request_before, step_ns)
        self.goal_velocity = self._still.velocity
        if self._step_before_ns:
            self.goal_velocity = quotient(self.goal, self._goal_before, self._step_before_ns)
        self.command = self._command_history.derivatives(self.deadline_ns, requested)
        self._command_history.append(self.deadline_ns, requested)
        self._goal_before, self._request_before, self._step_before_ns = self.goal, requested, step_ns

    # -- shape --------------------------------------------------------------------------------------------------

    def tool(self, geometry: ArmGeometry, *, ahead: bool) -> list[float]:
        """(3,) tool frame [m] as measured, or where the arm is going."""
        if ahead not in self._tools:
            self._tools[ahead] = geometry.tool_position(self._pose(ahead=ahead)).tolist()
        return self._tools[ahead]

    def clearance(self, geometry: ArmGeometry, *, ahead: bool) -> Clearance:
        """Nearest pair of links as measured, or where the arm is going."""
        if ahead not in self._clearances:
            self._clearances[ahead] = geometry.clearance(self._pose(ahead=ahead))
        return self._clearances[ahead]

    def _pose(self, *, ahead: bool) -> FloatArray:
        return np.array(self.destination() if ahead else self.position)

    def destination(self) -> list[float]:
        """(n,) where the arm is going [rad].

        In motion, where it would come to rest if it braked after this tick: q + v |v| / 2a, within limits. While it
        holds, where the policy wants it, for that is where it will go on to. Without a request, where it is.
        """
        if self._ahead is None:
            if not (self.has_request and self.has_goal):
                self._ahead = self.position
            elif self.holding and self.has_action:
                self._ahead = self.action
            else:
                parts = zip(self.requested, self.command.velocity, self._deceleration, self._limits, strict=True)
                self._ahead = [min(max(q + v * abs(v) / (2.0 * a), low), high) for q, v, a, (low, high) in parts]
        return self._ahead
