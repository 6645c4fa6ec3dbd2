"""A control loop on a test bench: the arm on paper, channels without processes, verdicts by script."""

from collections.abc import Callable, Sequence

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS, ManualClock, to_ns
from robot_mbrl.contracts.errors import BusTimeout, ServoOverheat
from robot_mbrl.contracts.frame import ACTION_DTYPE, REQUEST_DTYPE, ControlState, Record, Request, empty
from robot_mbrl.contracts.rest import REST_TIME
from robot_mbrl.contracts.types import StopCategory, Verdict, VerdictLevel
from robot_mbrl.runtime.arm_link import ArmLink
from robot_mbrl.runtime.conductor import Conductor
from robot_mbrl.runtime.control_loop import ControlLoop, Doubts, Judge, Wires
from robot_mbrl.runtime.departure import Departure
from robot_mbrl.runtime.inbox import ActionBox, RequestBox
from robot_mbrl.runtime.motion import Motion, MotionLimits
from robot_mbrl.runtime.settings import LoopSettings
from tests.runtime.paper_arm import PaperArm

RATE = 100.0
LIMITS = MotionLimits(
    position=np.array([[-1.0, 1.0], [-2.0, 2.0]]),
    velocity=np.array([2.0, 2.0]),
    acceleration=np.array([20.0, 20.0]),
    jerk=np.array([1000.0, 1000.0]),
)
REST_TICKS = round(REST_TIME * RATE) + 5
"""By then an arm that nothing moves counts as at rest."""
PARK = np.array([0.3, -0.2])
LIFETIME = 0.2
"""Of an action [s]."""
TIMEOUT = BusTimeout("servo 1 on paper: no answer within 9.1 ms in 3 attempts: check power, cable, ID and baud rate")


class Mailbox:
    """A channel's subscriber, with what a test puts in."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def drain(self) -> list[Record]:
        """All."""
        taken, self.records = self.records, []
        return taken


class Frames:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Record] = []
        self.fails = False

    def send(self, record: Record) -> None:
        """Keep a copy."""
        if self.fails:
            raise RuntimeError("nobody takes frames")
        self.sent.append(record.copy())


class Script:
    """A judge that says what the test says, and PASS otherwise."""

    def __init__(self) -> None:
        self.level = VerdictLevel.PASS
        self.fails = False
        self.judged: list[Record] = []

    def judge(self, frame: Record) -> Verdict:
        """The level that is set."""
        self.judged.append(frame.copy())
        if self.fails:
            raise ZeroDivisionError("the judge is out of its mind")
        scale = {VerdictLevel.PASS: 1.0, VerdictLevel.SLOW: 0.5}.get(self.level, 0.0)
        spoke = self.level is not VerdictLevel.PASS
        return Verdict(self.level, scale, 0 if spoke else -1, "script" if spoke else "", 1 if spoke else -1, 2.0, 1.0)


class Rig:
    """All of it, at rest in IDLE."""

    def __init__(
        self,
        category: StopCategory = StopCategory.HOLD,
        departure: Departure | None = None,
        settings: LoopSettings | None = None,
        monitor: Judge | None = None,
        doubts: Doubts | None = None,
    ) -> None:
        self.clock = ManualClock(5 * NANOSECONDS)
        self.arm = PaperArm(self.clock)
        self.requests, self.actions, self.frames, self.judge = Mailbox(), Mailbox(), Frames(), Script()
        self.reports: list[str] = []
        self.report_fails: list[Exception] = []
        self.settings = settings or LoopSettings(rate=RATE, policy_rate=20.0)
        self.motion = Motion(LIMITS, PARK, period=1.0 / self.settings.rate, action_period=0.05)
        link = ArmLink(self.arm, self.settings.bus_patience)
        self.conductor = Conductor(link, self.motion, LIMITS.position, category, self._report)
        wires = Wires(RequestBox(self.requests, self.clock.now_ns()), ActionBox(self.actions, 2), self.frames)
        self.loop = ControlLoop(
            self.conductor, monitor or self.judge, wires, self.clock, self.settings, departure=departure, doubts=doubts
        )
        self.goal: Callable[[int], Sequence[float]] = lambda _: (0.0, 0.0)
        self.acting = False

    def _report(self, line: str) -> None:
        if self.report_fails:
            raise self.report_fails[0]
        self.reports.append(line)

    def state(self) -> ControlState:
        """Where the loop stands."""
        return self.loop.state

    @property
    def frame(self) -> Record:
        """The last frame that was sent."""
        return self.frames.sent[-1]

    def tick(self, count: int = 1) -> None:
        """Do ticks; while `acting` there is a fresh action for each."""
        for _ in range(count):
            if self.acting:
                self.act(self.goal(self.loop.ticks))
            self.loop.tick()

    def act(self, position: Sequence[float], lifetime: float = LIFETIME) -> None:
        """Send an action."""
        record = empty(ACTION_DTYPE)
        record["stamp_ns"] = self.clock.now_ns()
        record["expires_ns"] = self.clock.now_ns() + to_ns(lifetime)
        record["position"][0, :2] = position
        self.actions.records.append(record)

    def ask(self, request: Request | int, age: float = 0.0) -> None:
        """Send a request that has been on its way for `age` [s]."""
        record = empty(REQUEST_DTYPE)
        record["stamp_ns"] = self.clock.now_ns() - to_ns(age)
        record["request"] = request
        self.requests.records.append(record)

    def arrange(self, state: ControlState) -> None:
        """Bring the loop from IDLE into `state`, by what leads there."""
        if state is ControlState.IDLE:
            return
        self._request(Request.ARM)
        if state in {ControlState.RUNNING, ControlState.SLOWED, ControlState.HOLDING}:
            self.acting = True
            self.tick()
            self._request(Request.RUN)
        if state is ControlState.SLOWED:
            self.judge.level = VerdictLevel.SLOW
        elif state is ControlState.HOLDING:
            self.judge.level = VerdictLevel.HOLD
        elif state is ControlState.PARKING:
            self.ask(Request.PARK)
        elif state is ControlState.STOPPED:
            self.ask(Request.STOP)
        elif state is ControlState.FAULT:
            self.clock.advance(1.0)
        self.tick()
        assert self.state() is state

    def _request(self, request: Request) -> None:
        self.ask(request)
        self.tick()


def break_servo(rig: Rig) -> None:
    """Let a servo report a hardware error."""
    rig.arm.fails["read"] = [ServoOverheat("joint a: too hot")]
