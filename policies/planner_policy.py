"""A planner as the policy of a real arm: it plans from where the arm will be when the plan takes effect.

Planner and learned model know a simulation in which joint targets jump at each step and then stay for the model's
period T. On an arm an action arrives a planning time L after the state that it was planned from, and the goals then go
in a straight line to it within the action period, which is T too. A line that takes T asks for its end T/2 later on
average than a jump at its beginning. So the jump that the planner plans for takes effect

    L + T/2

after the state was measured: the state is predicted forward by so much, with the targets that were sent before, and
the plan begins there. The model's steps are T long; a part of one is taken as that share of its change.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Final, Protocol

import numpy as np
from pydantic import Field

from robot_mbrl.contracts.clock import NANOSECONDS, to_ns
from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.errors import ConfigError, NonFiniteCommand
from robot_mbrl.contracts.policy import Outlook
from robot_mbrl.contracts.types import Action, FloatArray
from robot_mbrl.policies.joint_space import JointSpace
from robot_mbrl.policies.task_model import Float32Array, Plan, Planner

LATENCY_SMOOTHING: Final = 0.2
"""Share of the newest planning time in the expected one."""
REHEARSALS: Final = 3
"""Plans before the first deadline, from which the planner knows how fast it can be; its first is slower than others."""
LOST_STEPS: Final = 3.0
"""An arm whose commanded goals are so many full steps away from the target that was sent is not on its way to it."""
_HOPELESS: Final = "the model expects nothing finite of any plan"

_Metre = Annotated[float, Field(ge=-2.0, le=2.0)]


class PlannerPolicySettings(Settings):
    """How a planner moves an arm.

    Attributes:
        goals: places for the tool in the base frame [m], one after the other and again; where the deployment has a goal
            of its own they are not needed.
        dwell: time for each goal [s].
        speed: share of the task's full actions that plans may use: at 1 an action changes its target as fast as the
            joint can turn.
        budget: share of the action period that planning may take.
    """

    goals: tuple[tuple[_Metre, _Metre, _Metre], ...] = ()
    dwell: float = Field(default=5.0, gt=0.0)
    speed: float = Field(default=0.3, gt=0.0, le=1.0)
    budget: float = Field(default=0.6, gt=0.0, le=0.9)


class ArmTask(Protocol):
    """What ties a planner's states and actions to an arm of n joints."""

    @property
    def period(self) -> float:
        """Of the model's steps, T [s]."""
        ...

    @property
    def step(self) -> FloatArray:
        """(n,) change of the targets that a full action makes [rad]."""
        ...

    def state(self, position: FloatArray, velocity: FloatArray, targets: FloatArray, goal: FloatArray) -> Float32Array:
        """The state (d,): angles, velocities and present targets (n,) [rad, rad/s], goal (3,) [m]."""
        ...

    def action(self, targets: FloatArray, after: FloatArray) -> Float32Array:
        """The action (a,) that changes the targets from `targets` (n,) to `after` [rad], as far as one can."""
        ...

    def next_targets(self, targets: FloatArray, action: Float32Array) -> FloatArray:
        """Targets (n,) [rad] after `action`, within the arm's limits."""
        ...

    def predict(self, state: Float32Array, action: Float32Array) -> Float32Array:
        """The state (d,) that the model expects a period T later."""
        ...


class PlannerPolicy:
    """A `contracts.policy.Policy` that plans anew in every step.

    Attributes:
        plan: the newest; None before the first.
        latency: what planning is expected to take [s].
    """

    def __init__(self, planner: Planner, arm: ArmTask, settings: PlannerPolicySettings, space: JointSpace) -> None:
        """Let `planner` move the arm of `space`; deadlines are kept on the space's clock.

        Some plans are made before the arm waits for one, so that a deadline that cannot be kept is told now.

        Raises:
            ConfigError: there is no goal, the policy's rate is not the model's, or the budget is too short for one
                iteration of a plan, or the model expects nothing finite of any plan.
        """
        if not settings.goals and "goal" not in space.observed:
            raise ConfigError("planner: no goal: give goals in its file, or --goal")
        if abs(space.period - arm.period) > 0.01 * arm.period:
            raise ConfigError(
                f"planner: its model steps every {arm.period:g} s, the policy every {space.period:g} s: give "
                f"--policy-rate {1.0 / arm.period:g}"
            )
        self._planner, self._arm, self._settings, self._space = planner, arm, settings, space
        self._goals = np.array(settings.goals).reshape(-1, 3)
        self.latency = settings.budget * space.period
        self._rehearse()
        self.reset()

    def reset(self) -> None:
        """Begin an episode: the last plan and the targets that were sent are forgotten."""
        self._planner.reset()
        self.plan: Plan | None = None
        self._planned_ns = -1
        self._sent: tuple[FloatArray, FloatArray] | None = None

    def act(self, observation: Mapping[str, FloatArray]) -> Action:
        """Plan, and return the first action of the plan as goals of the joints; see `joint_space` for observations.

        The disagreement is the largest of the plan's steps.

        Raises:
            ConfigError: a state that is not finite.
            DeadlineTooShort: something else took the time; the last plan stays as it was.
            NonFiniteCommand: the model expects nothing finite of any candidate.
        """
        clock, period = self._space.clock, self._space.period
        start_ns = clock.now_ns()
        before, sent = self._targets(observation["commanded"])
        state = self._ahead(observation, before, sent)
        elapsed = 1 if self._planned_ns < 0 else max(1, round((start_ns - self._planned_ns) / to_ns(period)))
        plan = self._planner.plan(state, self._deadline_ns(start_ns), elapsed=elapsed)
        if not math.isfinite(plan.value):
            raise NonFiniteCommand(f"planner: {_HOPELESS}: the plan was not sent")
        goals = self._space.inside(self._arm.next_targets(sent, plan.actions[0]))
        self._sent, self._planned_ns, self.plan = (sent, goals), start_ns, plan
        took = (clock.now_ns() - start_ns) / NANOSECONDS
        self.latency += LATENCY_SMOOTHING * (min(took, period) - self.latency)
        return self._space.action(goals, float(plan.disagreement.max()))

    def outlook(self) -> Outlook | None:
        """The newest plan, as goals and expected angles of the joints; None before the first."""
        if self.plan is None or self._sent is None:
            return None
        goals = [self._sent[1]]
        for action in self.plan.actions[1:]:
            goals.append(self._space.inside(self._arm.next_targets(goals[-1], action)))
        return Outlook(
            begins_ns=self._planned_ns + to_ns(self.latency + self._space.period / 2.0),
            period=self._space.period,
            goals=np.array(goals),
            positions=self.plan.states[1:, : len(self._sent[1])].astype(np.float64),
            disagreement=self.plan.disagreement.astype(np.float64),
        )

    def _rehearse(self) -> None:
        """Plan for an arm at rest in the middle of its limits: as long as it takes, then in the time that there is."""
        middle: FloatArray = self._space.position_limits.mean(axis=1)
        goal = self._goals[0] if len(self._goals) else np.zeros(3)
        state = self._arm.state(middle, np.zeros_like(middle), middle, goal)
        for _ in range(REHEARSALS):
            if not math.isfinite(self._planner.plan(state).value):
                raise ConfigError(f"planner: {_HOPELESS}, for an arm at rest: give a run that learned something")
        self._planner.plan(state, self._deadline_ns(self._space.clock.now_ns()))

    def _deadline_ns(self, start_ns: int) -> int:
        """When a plan that is begun at `start_ns` [ns] must be there."""
        return start_ns + to_ns(self._settings.budget * self._space.period)

    def _targets(self, commanded: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The last two targets that were sent; where the arm is held or stopped, it stays at `commanded`."""
        if self._sent is not None:
            away = np.abs(commanded - self._sent[1])
            if (away <= LOST_STEPS * self._settings.speed * self._arm.step).all():
                return self._sent
        here = self._space.inside(commanded)
        return here, here

    def _ahead(self, observation: Mapping[str, FloatArray], before: FloatArray, sent: FloatArray) -> Float32Array:
        """The state when the plan takes effect, L + T/2 from now: a whole step of the model, or one and a part."""
        arm, goal = self._arm, self._goal(observation)
        state = arm.state(observation["position"], observation["velocity"], before, goal)
        steps = self.latency / self._space.period + 0.5
        after = arm.predict(state, arm.action(before, sent))
        if steps > 1.0:
            state, steps = after, steps - 1.0
            after = arm.predict(state, arm.action(sent, sent))
        n = len(sent)
        between = state + np.float32(steps) * (after - state)
        return arm.state(between[:n].astype(np.float64), between[n : 2 * n].astype(np.float64), sent, goal)

    def _goal(self, observation: Mapping[str, FloatArray]) -> FloatArray:
        if "goal" in observation:
            return observation["goal"]
        number = int(float(observation["time"][0]) / self._settings.dwell)
        goal: FloatArray = self._goals[number % len(self._goals)]
        return goal
