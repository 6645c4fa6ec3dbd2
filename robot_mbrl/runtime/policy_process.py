"""The policy's own process: the newest frame goes in, an action with its expiry comes out, at the policy's rate.

A policy may take its time, hang or die here without harm: its last action expires, and the control process stops the
arm. `python -m robot_mbrl.runtime.policy_process JSON` takes `DeploySettings`.

A second policy may stand by. Both are loaded before the arm is touched; which of them acts changes by the requests
USE_POLICY and USE_STANDBY, and only while the arm is held: then no motion is under way that the other one would have to
take up, and the control loop sets out for its first action as it does after every hold.
"""

import os
import signal
import sys
import traceback
from typing import Final

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS, Clock, MonotonicClock, Ticker, to_ns
from robot_mbrl.contracts.errors import ConfigError, DeadlineTooShort, NonFiniteCommand, RobotMbrlError
from robot_mbrl.contracts.frame import (
    ACTION_DTYPE,
    MAX_PLAN_STEPS,
    PLAN_DTYPE,
    ControlState,
    Record,
    Request,
    empty,
)
from robot_mbrl.contracts.policy import PlanningPolicy, Policy
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.policies.joint_space import OBSERVED, JointSpace
from robot_mbrl.policies.registry import build_policy
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.inbox import RequestBox
from robot_mbrl.runtime.parent import end_with_parent
from robot_mbrl.runtime.settings import DeploySettings
from robot_mbrl.runtime.takeover import granted

READY: Final = "policy ready"
LIFETIME_PERIODS: Final = 3.0
"""An action is good for so many periods: one late step is forgiven, a hung policy is not."""

MOVING: Final = frozenset({ControlState.RUNNING, ControlState.SLOWED})
"""States in which the episode's time goes on."""
HELD: Final = frozenset({ControlState.ARMED, ControlState.HOLDING})
"""States in which another policy may take over."""
ASKED: Final = MOVING | HELD
"""States in which an action is wanted: to run with, or to be there when the arm may run."""


def joint_space(arm: ArmDefinition, settings: DeploySettings, clock: Clock) -> JointSpace:
    """What a policy of the deployment that `settings` describe has to know of `arm`."""
    period = 1.0 / settings.loop.policy_rate
    return JointSpace(
        arm=arm.model,
        names=arm.joint_names,
        position_limits=np.array([joint.position_limits for joint in arm.joints]),
        velocity_limits=np.array([joint.velocity_limit for joint in arm.joints]),
        period=period,
        lifetime=LIFETIME_PERIODS * period,
        clock=clock,
        observed=OBSERVED if settings.goal is None else (*OBSERVED, "goal"),
    )


class Episode:
    """One policy on one arm: turns frames into observations and keeps the episode's time.

    The episode begins each time the arm starts to run. Its time stands still while the arm is held and runs slower
    while it is slowed, so that no trajectory goes on without its arm.
    """

    def __init__(self, policy: Policy, joints: int, goal: FloatArray | None = None) -> None:
        """Run `policy` on an arm of `joints` joints, towards `goal` (3,) [m] where there is one."""
        self._policy = policy
        self._joints = joints
        self._goal: dict[str, FloatArray] = {} if goal is None else {"goal": goal}
        self._time = 0.0
        self._stamp_ns: int | None = None
        self._sequence = 0

    def take_over(self, policy: Policy) -> None:
        """Let `policy` act from here on, in an episode of its own."""
        policy.reset()
        self._policy, self._time = policy, 0.0

    def step(self, frame: Record) -> Record | None:
        """The action for `frame`, a record of `ACTION_DTYPE`; None in states that want none, and without torque.

        A cycle in which the arm could not be read gets none either, whether its measurements are missing or still the
        last ones: what a policy remembers must stay finite, and two actions of one moment would be a jump. Nor does
        one that left a planner no time: its last action goes on, and expires unless the next plan is in time.

        Raises:
            NonFiniteCommand: the policy answered with a goal that is not finite.
        """
        state = ControlState(int(frame["state"][0]))
        if state not in ASKED or not np.isfinite(frame["goal_position"][0, : self._joints]).all():
            self._stamp_ns = None
            return None
        if not np.isfinite((frame["position"][0, : self._joints], frame["velocity"][0, : self._joints])).all():
            return None
        stamp_ns = int(frame["stamp_ns"][0])
        if state in MOVING and stamp_ns == self._stamp_ns:
            return None
        if state is ControlState.ARMED:
            self._policy.reset()
            self._time = 0.0
        elif state in MOVING and self._stamp_ns is not None:
            self._time += (stamp_ns - self._stamp_ns) / NANOSECONDS * float(frame["speed_scale"][0])
        self._stamp_ns = stamp_ns
        try:
            action = self._policy.act(self._observe(frame))
        except DeadlineTooShort:
            return None
        if not np.isfinite(action.position).all():
            raise NonFiniteCommand(f"the policy's action {action.position.tolist()} is not finite: it was not sent")
        self._sequence += 1
        record = empty(ACTION_DTYPE)
        record["sequence"] = self._sequence
        record["stamp_ns"] = stamp_ns
        record["expires_ns"] = action.expires_ns
        record["disagreement"] = action.disagreement
        record["position"][0, : self._joints] = action.position
        return record

    def plan(self, action: Record) -> Record | None:
        """The plan behind `action`, the last one, as a record of `PLAN_DTYPE`; None from a policy that has none."""
        outlook = self._policy.outlook() if isinstance(self._policy, PlanningPolicy) else None
        if outlook is None:
            return None
        steps, n = min(len(outlook.goals), MAX_PLAN_STEPS), self._joints
        record = empty(PLAN_DTYPE)
        for name in ("sequence", "stamp_ns", "expires_ns"):
            record[name] = action[name]
        record["begins_ns"], record["period_ns"] = outlook.begins_ns, to_ns(outlook.period)
        record["steps"], record["joints"] = steps, n
        record["disagreement"][0, :steps] = outlook.disagreement[:steps]
        record["goal_position"][0, :steps, :n] = outlook.goals[:steps]
        record["predicted_position"][0, :steps, :n] = outlook.positions[:steps]
        return record

    def _observe(self, frame: Record) -> dict[str, FloatArray]:
        """What `policies.joint_space` describes."""
        return {
            "time": np.array([self._time]),
            "position": frame["position"][0, : self._joints].copy(),
            "velocity": frame["velocity"][0, : self._joints].copy(),
            "commanded": frame["goal_position"][0, : self._joints].copy(),
            **self._goal,
        }


class Cockpit:
    """The policies of one deployment, of which one acts."""

    def __init__(self, settings: DeploySettings, clock: Clock) -> None:
        """Load all policies that `settings` name; the first one acts.

        Raises:
            ConfigError: unknown arm or policy, malformed files.
            LimitViolation: a policy would leave the arm's limits.
        """
        if settings.policy is None:
            raise ConfigError("the policy process was started without a policy: name one")
        arm = load_arm(settings.robot.arm)
        space = joint_space(arm, settings, clock)
        named = {Request.USE_POLICY: settings.policy}
        if settings.standby is not None:
            named[Request.USE_STANDBY] = settings.standby
        self._policies = {request: (spec, build_policy(spec, space)) for request, spec in named.items()}
        self._acting = Request.USE_POLICY
        goal = None if settings.goal is None else np.array(settings.goal)
        self.episode = Episode(self._policies[self._acting][1], len(arm.joints), goal)

    def obey(self, request: Request, state: ControlState | None) -> str | None:
        """Let another policy act if `request` asks for it and the arm's `state` allows it; gives a line for people."""
        if request not in self._policies:
            return None
        spec, policy = self._policies[request]
        if request is self._acting:
            return f"policy: {spec} acts already"
        if state not in HELD:
            return f"policy: {spec} does not take over from an arm that is not held: hold it first"
        self._acting = request
        self.episode.take_over(policy)
        return granted(spec)


def serve(settings: DeploySettings, clock: Clock) -> None:
    """Answer frames with actions until a signal ends the process.

    Raises:
        ConfigError: unknown arm or policy, malformed files.
        LimitViolation: a policy would leave the arm's limits.
    """
    cockpit = Cockpit(settings, clock)
    with Session(settings.session) as session:
        frames, actions, plans = (
            session.subscriber("frame"),
            session.publisher("action"),
            session.publisher("plan"),
        )
        requests = RequestBox(session.subscriber("request"), clock.now_ns())
        print(READY, flush=True)
        ticker = Ticker(1.0 / settings.loop.policy_rate, clock)
        state: ControlState | None = None
        while True:
            ticker.wait()
            frame = frames.newest()
            state = state if frame is None else ControlState(int(frame["state"][0]))
            for request in requests.take(clock.now_ns()):
                told = cockpit.obey(request, state)
                if told is not None:
                    print(told, flush=True)
            action = None if frame is None else cockpit.episode.step(frame)
            if action is None:
                continue
            actions.send(action)
            plan = cockpit.episode.plan(action)
            if plan is not None:
                plans.send(plan)


def main(arguments: list[str]) -> int:
    """Run the policy that the JSON in `arguments` describes; the exit code is the error's."""
    end_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = DeploySettings.model_validate_json(arguments[0])
    try:
        serve(settings, MonotonicClock())
    except RobotMbrlError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except Exception as error:  # noqa: BLE001  (a policy is anybody's code: whatever it raises is told in one line)
        place = traceback.extract_tb(error.__traceback__)[-1]
        told = " ".join(str(error).split())
        where = f"{os.path.basename(place.filename)}:{place.lineno}"
        print(
            f"policy {settings.policy}: {type(error).__name__}: {told} ({where}): correct the policy", file=sys.stderr
        )
        return RobotMbrlError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
