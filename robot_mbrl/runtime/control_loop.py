"""The control loop: read, estimate, propose, check, write, publish; each tick in this order.

The loop has no knowledge of its own. What happens becomes events, the state machine's table says what they lead to, the
monitor judges every tick by what is in its frame, and the motion turns actions into goals that the arm can follow.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from robot_mbrl.contracts.clock import Clock, Ticker, to_ns
from robot_mbrl.contracts.frame import ControlState, Record, Request
from robot_mbrl.contracts.types import FloatArray, Verdict, VerdictLevel
from robot_mbrl.runtime.conductor import Conductor, verdict_text
from robot_mbrl.runtime.departure import Departure
from robot_mbrl.runtime.estimator import VelocityEstimator
from robot_mbrl.runtime.frame_buffer import FrameBuffer, FrameRing
from robot_mbrl.runtime.inbox import ActionBox, RequestBox
from robot_mbrl.runtime.settings import LoopSettings
from robot_mbrl.safety.state_machine import VERDICT_EVENTS, Drive, Event

_NEED_ACTIONS: Final = frozenset({ControlState.RUNNING, ControlState.SLOWED, ControlState.HOLDING})
"""States that last only as long as actions come."""

_NEED_OPERATOR: Final = _NEED_ACTIONS | {ControlState.ARMED, ControlState.PARKING}
"""States that last only as long as the operator's console lives, where a heartbeat is asked for."""

_PLAIN_REQUESTS: Final = {
    Request.HOLD: Event.REQUEST_HOLD,
    Request.STOP: Event.REQUEST_STOP,
    Request.EMERGENCY_STOP: Event.REQUEST_EMERGENCY_STOP,
    Request.PARK: Event.REQUEST_PARK,
}

_DELIBERATE: Final = frozenset({Request.ARM, Request.RESET, Request.RELEASE})
"""Requests that may take longer than a tick. Those of neither kind are for the policy's process."""


class Judge(Protocol):
    """What judges frames; `safety.monitor.Monitor` is one."""

    def judge(self, frame: Record) -> Verdict:
        """The verdict on the next tick's frame."""
        ...


class Doubts(Protocol):
    """What knows how far the models can be believed; `policies.model_watch.ModelWatch` is one."""

    def update(
        self,
        stamp_ns: int,
        position: FloatArray,
        velocity: FloatArray,
        held: FloatArray,
        requested: FloatArray,
        wish: FloatArray | None = None,
    ) -> tuple[float, float]:
        """Disagreement and residual now, with the goals that the servos held and those that this tick asks for.

        `wish` is the action of a policy that is held, None while it is followed.
        """
        ...


class Frames(Protocol):
    """Where frames go; a channel's publisher is one."""

    def send(self, record: Record) -> None:
        """Hand over a copy. Never waits."""
        ...


@dataclass(frozen=True, slots=True)
class Wires:
    """What ties the loop to the other processes.

    Attributes:
        requests: what people and processes ask for.
        actions: what the policy wants.
        frames: where each tick's frame goes.
    """

    requests: RequestBox
    actions: ActionBox
    frames: Frames


class ControlLoop:
    """One arm under control. One thread calls `tick` again and again, or `run`, which does.

    Attributes:
        ticks: frames so far.
    """

    def __init__(
        self,
        conductor: Conductor,
        monitor: Judge,
        wires: Wires,
        clock: Clock,
        settings: LoopSettings,
        *,
        departure: Departure | None = None,
        doubts: Doubts | None = None,
    ) -> None:
        """Control the connected robot that `conductor` has. Sends nothing yet.

        Args:
            conductor: the state machine with the robot and its motion.
            monitor: judges each tick.
            wires: to the other processes.
            clock: what ticks follow.
            settings: rate and patience.
            departure: how the run ends.
            doubts: the ensemble beside the policy, if there is one.
        """
        self._conductor, self._link, self._motion = conductor, conductor.link, conductor.motion
        self._requests, self._actions, self._frames = wires.requests, wires.actions, wires.frames
        self._monitor, self._clock, self._settings, self._doubts = monitor, clock, settings, doubts
        self._departure = Departure() if departure is None else departure
        joints = len(self._link.joint_names)
        self._estimator = VelocityEstimator(joints)
        self._frame, self._beat = FrameBuffer(joints), FrameBuffer(joints)
        self._kept = FrameRing(settings.kept_frames)
        self._missed_limit = max(1, round(settings.missed_limit * settings.rate))
        self._verdict = Verdict(VerdictLevel.PASS)
        self._deliberate: list[Request] = []
        self._action: Record | None = None
        self._judging = False
        self._lost_beat: Exception | None = None
        self._period_ns = to_ns(1.0 / settings.rate)
        self.ticks = self._sent = self._missed_run = self._missed_before = 0
        self._begun_ns = self._goal_ns = clock.now_ns()
        self._periods = 1
        self._ticker = Ticker(1.0 / settings.rate, clock)

    @property
    def state(self) -> ControlState:
        """Where the loop stands."""
        return self._conductor.state

    def tick(self) -> Record:
        """Wait for the next tick and do it; returns its frame, which the next tick overwrites.

        Raises:
            Exception: whatever went wrong, once the arm was stopped and a last frame was sent; `last_frames` has what
                led to it.
        """
        skipped = self._ticker.wait()
        frame, wake_ns = self._frame, self._clock.now_ns()
        try:
            self._begin(frame, self._ticker.deadline_ns, wake_ns)
            self._count_missed(skipped)
            self._read(frame)
            self._estimate(frame)
            self._listen(frame)
            self._propose(frame)
            self._check(frame)
            self._write(frame)
            self._publish(frame)
            self._conclude(frame)
        except Exception as error:
            self._end(error)
            raise
        return frame.record

    @property
    def over(self) -> bool:
        """Whether the run has ended and the arm has been dealt with."""
        conductor = self._conductor
        return self._departure.over(conductor.state, resting=conductor.resting, torque=self._link.has_torque)

    def run(self) -> ControlState:
        """Tick until the run is over, and once more to tell how it ended; returns the last state."""
        while not self.over:
            self.tick()
        self.tick()
        return self.state

    def leave(self, stop: Event = Event.SIGNAL) -> None:
        """End the run from the next tick on; a signal handler may call it. Twice means without parking."""
        self._departure.begin(stop)

    def last_frames(self) -> Record:
        """The newest frames, the oldest first, shape (k,)."""
        return self._kept.frames()

    def beat(self) -> None:
        """A sign of life: sends a frame when a tick's time has passed while the driver stops the arm. Never raises.

        What goes wrong ends the signs, and is raised by the tick once the arm is stopped: the driver calls this between
        two goals of its braking, which must not be cut short.
        """
        due_ns = int(self._beat["wake_ns"][0]) + self._period_ns
        if self._conductor.stopping and self._lost_beat is None and self._clock.now_ns() >= due_ns:
            self._try_beat()

    # -- the steps of a tick ------------------------------------------------------------------------------------

    def _begin(self, frame: FrameBuffer, deadline_ns: int, wake_ns: int) -> None:
        frame.clear()
        self.ticks += 1
        frame["tick"], frame["deadline_ns"], frame["wake_ns"] = self.ticks, deadline_ns, wake_ns
        frame["missed_ticks"] = self._missed_before + self._ticker.missed

    def _count_missed(self, skipped: int) -> None:
        """A run of missed ticks is a fault, unless it was the bus that was waited for: that is counted by itself."""
        self._missed_run = self._missed_run + skipped if skipped and not self._link.failed else 0
        if self._missed_run >= self._missed_limit:
            self._handle(Event.TICKS_MISSED, f"{self._missed_run} ticks missed in a row, limit {self._missed_limit}")

    def _read(self, frame: FrameBuffer) -> None:
        """What the robot measures; a bus that fails once costs the tick its motion and nothing else."""
        event = self._link.read(frame)
        if event is not None:
            self._handle(event, self._link.problem)

    def _estimate(self, frame: FrameBuffer) -> None:
        """How fast the joints move. What is not finite stays out of the estimate, and in the frame for the monitor."""
        position = frame["position"]
        finite = bool(np.isfinite(position).all())
        frame["velocity"] = self._estimator.update(int(frame["stamp_ns"][0]), position) if finite else np.nan

    def _listen(self, frame: FrameBuffer) -> None:
        """Requests, the operator's heartbeat, and whether there still is an action."""
        now_ns = int(frame["wake_ns"][0])
        self._action = self._actions.take()
        for request in self._requests.take(now_ns):
            self._obey(request, now_ns)
        if self.state in _NEED_ACTIONS and not self._actions.fresh(now_ns):
            self._handle(Event.ACTION_EXPIRED, "the policy's newest action has expired")
        if self._settings.heartbeat is not None:
            heard_ns = max(self._requests.heartbeat_ns, self._begun_ns)
            frame["heartbeat_ns"] = heard_ns
            if now_ns - heard_ns > to_ns(self._settings.heartbeat) and self.state in _NEED_OPERATOR:
                self._handle(Event.HEARTBEAT_LOST, f"no heartbeat for {self._settings.heartbeat} s")
        self._tell_state(frame)

    def _obey(self, request: Request, now_ns: int) -> None:
        """Stops take effect at once; what may take longer than a tick comes after it."""
        if request in _PLAIN_REQUESTS:
            self._handle(_PLAIN_REQUESTS[request])
        elif request is Request.QUIT:
            self.leave(Event.REQUEST_QUIT)
        elif request is Request.RUN:
            if self._actions.fresh(now_ns):
                self._handle(Event.REQUEST_RUN)
            else:
                self._conductor.report("run refused: no policy has sent an action that is still good")
        elif request in _DELIBERATE:
            self._deliberate.append(request)

    def _propose(self, frame: FrameBuffer) -> None:
        """Where the policy, or a stop, asks the arm to be. Without a reading nothing but a stop goes on."""
        drive, now_ns = self._conductor.drive, int(frame["wake_ns"][0])
        self._actions.tell(frame)
        if self._doubts is None:
            frame["disagreement"] = frame["policy_disagreement"]
        if drive is Drive.FOLLOW and self._action is not None and self._actions.finite:
            self._motion.accept(self._actions.position, self._actions.expires_ns)
        if drive is Drive.NOTHING:
            return
        self._periods = max(1, round((int(frame["deadline_ns"][0]) - self._goal_ns) / self._period_ns))
        blind = self._link.failed and drive is not Drive.HOLD
        requested = self._motion.executed if blind else self._motion.propose(drive, now_ns, self._periods)
        frame["requested_position"] = requested
        if self._doubts is not None and self.state in _NEED_ACTIONS:
            # An arm that is held goes on as soon as nothing speaks against it: what the policy wishes by then counts.
            wish = self._actions.position if drive is Drive.HOLD and self._actions.finite else None
            measured = int(frame["stamp_ns"][0]), frame["position"], frame["velocity"], frame["goal_position"]
            frame["disagreement"], frame["residual"] = self._doubts.update(*measured, requested, wish)

    def _check(self, frame: FrameBuffer) -> None:
        """The monitor's verdict on all of it, and what follows."""
        self._judging = True
        verdict = self._verdict = self._monitor.judge(frame.record)
        self._judging = False
        frame["verdict"], frame["speed_scale"] = verdict.level, verdict.speed_scale
        frame["reason"], frame["reason_joint"] = verdict.check, verdict.joint
        frame["value"], frame["limit"] = verdict.value, verdict.limit
        stops = verdict.level is VerdictLevel.STOP
        self._handle(VERDICT_EVENTS[verdict.level], verdict_text(verdict, self._link.joint_names) if stops else "")

    def _write(self, frame: FrameBuffer) -> None:
        """The goals, as far as the state after the verdict lets them through.

        A stop's goals are sent although the servos could not be read: they need no answer, and every one that is left
        out makes the stop longer.
        """
        drive = self._conductor.drive
        if drive is Drive.NOTHING:
            self._goal_ns = int(frame["deadline_ns"][0])
            return
        if self._link.failed and drive is not Drive.HOLD:
            return
        goal = self._motion.execute(drive, self._verdict.speed_scale, self._periods)
        self._goal_ns = int(frame["deadline_ns"][0])
        event = self._link.write(goal)
        frame["executed_position"], frame["write_ns"] = goal, self._clock.now_ns()
        if event is not None:
            self._handle(event, self._link.problem)

    def _publish(self, frame: FrameBuffer) -> None:
        self._kept.append(frame.record)
        self._sent = self.ticks
        self._frames.send(frame.record)

    def _conclude(self, frame: FrameBuffer) -> None:
        """What may take its time, now that the frame is out. Ticks that it takes were not missed, but given."""
        conductor, position, velocity = self._conductor, frame["position"], frame["velocity"]
        conductor.observe(int(frame["wake_ns"][0]), np.full_like(position, np.nan) if self._link.failed else position)
        deliberate = bool(self._deliberate)
        for request in self._deliberate:
            if request is Request.ARM and self._departure.begun:
                conductor.report("arm refused: the run is ending")
            elif request is Request.ARM:
                conductor.arm(position, velocity, self._verdict)
            elif request is Request.RESET:
                conductor.reset(position, velocity, self._verdict)
            else:
                conductor.release()
        self._deliberate.clear()
        conductor.settle()
        way_out = self._departure.next_event(self.state, resting=conductor.resting, torque=self._link.has_torque)
        if way_out is not None:
            self._handle(way_out)
        if deliberate or conductor.pending:
            if int(frame["state"][0]) in _NEED_OPERATOR and self.state not in _NEED_OPERATOR:
                # What follows may take its time, and the guardian counts the silence of an arm that is under command.
                self._try_beat()
            conductor.finish()
            if self._lost_beat is not None:
                raise self._lost_beat
            self._missed_before += self._ticker.missed
            self._ticker = Ticker(1.0 / self._settings.rate, self._clock)

    def _end(self, error: Exception) -> None:
        """Stop the arm by its driver and say so in a last frame; keep the one that was in the making. Never raises."""
        if self._sent < int(self._frame["tick"][0]):
            self._kept.append(self._frame.record)
        self._handle(Event.EXCEPTION, f"{type(error).__name__}: {error}")
        judging, self._judging = self._judging, False
        self._conductor.finish()
        if not judging and self._lost_beat is None:
            self._try_beat()
        if self._lost_beat is not None and self._lost_beat is not error:
            error.add_note(f"no frames while the arm was stopped: {self._lost_beat!r}")

    def _try_beat(self) -> None:
        try:
            self._send_beat()
        except Exception as error:  # noqa: BLE001  (stopping the arm comes first: this is raised or noted after it)
            self._lost_beat = error

    def _send_beat(self) -> None:
        """A frame without a tick: nothing is read and nothing written."""
        frame = self._beat
        now_ns = self._clock.now_ns()
        self._begin(frame, now_ns, now_ns)
        self._link.tell(frame)
        frame["velocity"] = self._frame["velocity"]
        self._tell_state(frame)
        self._check(frame)
        self._publish(frame)

    def _tell_state(self, frame: FrameBuffer) -> None:
        frame["state"], frame["stop_cause"] = self.state, self._conductor.cause

    def _handle(self, event: Event, why: str = "") -> None:
        self._conductor.handle(event, why)
