"""Settings of the safety monitor: what an arm's YAML says under `safety`, and the same with the joints' limits.

Every quantity has its `Grades`: above `slow` motion is slowed, above `hold` the arm holds, above `stop` it stops and
stays stopped. A grade that is left out does not exist for that quantity.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from robot_mbrl.contracts.config import Settings, merged
from robot_mbrl.contracts.types import MAX_JOINTS

Positive = Annotated[float, Field(gt=0.0)]
Point = tuple[float, float, float]


class Grades(Settings):
    """Rising thresholds of one quantity, at least one of them.

    Attributes:
        slow: above it speed is scaled down, to the least scale at the next grade.
        hold: above it for `persistence` the arm holds.
        stop: above it for `persistence` the arm stops.
        persistence: how long hold and stop must be exceeded without a break [s]; slow acts at once.
    """

    slow: Positive | None = None
    hold: Positive | None = None
    stop: Positive | None = None
    persistence: float = Field(default=0.0, ge=0.0, le=10.0)

    @model_validator(mode="after")
    def _thresholds_rise(self) -> Self:
        given = [(name, value) for name, value in self if name != "persistence" and value is not None]
        if not given:
            raise ValueError("no threshold is given: give slow, hold or stop")
        for (lower, low), (upper, high) in pairwise(given):
            if not low < high:
                raise ValueError(f"{lower} = {low} must be below {upper} = {high}")
        return self


class Box(Settings):
    """An axis-aligned box in the arm's base frame.

    Attributes:
        name: for messages.
        low: corner with the smallest coordinates [m].
        high: corner with the largest coordinates [m].
    """

    name: str = Field(default="box", min_length=1)
    low: Point
    high: Point

    @model_validator(mode="after")
    def _corners_are_ordered(self) -> Self:
        for axis, low, high in zip("xyz", self.low, self.high, strict=True):
            if not low < high:
                raise ValueError(f"{self.name}: low {axis} = {low} must be below high {axis} = {high}")
        return self


class KinematicSettings(Settings):
    """How joint motion is judged. Ratios are to the joint's own limit.

    Attributes:
        window: derivatives are averages over this long [s]: over one tick at 200 Hz, one step of a 4096-step encoder is
            61 rad/s², and a kink between two interpolated actions has no acceleration at all.
        measured_overtravel: measured angle beyond its limits [rad].
        command_overtravel: requested angle beyond its limits [rad].
        measured_velocity: ratio.
        measured_acceleration: ratio.
        measured_jerk: ratio.
        command_velocity: ratio; slowed in proportion, so that the executed command keeps the limit.
        command_acceleration: ratio; slowed by its square root, as slowing a path by s slows acceleration by s².
        command_jerk: ratio; slowed by its cube root.
        action_jump: speed between two successive actions, as a ratio to the velocity limit.
        tracking_lag: how long a joint may take to reach a goal [s].
        tracking_error: distance of the measured angle from all goals of the last `tracking_lag` [rad].
        load: share of the servo's maximum, 0..1.
        current: ratio to the servo's limit in `current_limits`.
        current_limits: by servo model [A]; models that measure no current are left out.
    """

    window: float = Field(gt=0.0, le=0.2)
    measured_overtravel: Grades
    command_overtravel: Grades
    measured_velocity: Grades
    measured_acceleration: Grades
    measured_jerk: Grades
    command_velocity: Grades
    command_acceleration: Grades
    command_jerk: Grades
    action_jump: Grades
    tracking_lag: float = Field(gt=0.0, le=1.0)
    tracking_error: Grades
    load: Grades
    current: Grades
    current_limits: dict[str, Positive]

    @model_validator(mode="after")
    def _a_load_is_a_share(self) -> Self:
        thresholds = (self.load.slow, self.load.hold, self.load.stop)
        if not all(value is None or value <= 1.0 for value in thresholds):
            raise ValueError(f"load thresholds {thresholds}: a load is a share of the maximum, give values up to 1")
        return self


class WorkspaceSettings(Settings):
    """Where the tool frame and the links may be.

    Attributes:
        box: that the tool frame stays in.
        floor: lowest height of the tool frame [m].
        keep_outs: boxes that the tool frame stays out of.
        stop_depth: a tool measured this far on the wrong side stops the arm [m]; before that it is where its goals will
            be that counts.
        slow_clearance: goals nearer than this are scaled down in speed [m], and so is an arm as far from its own limit.
        hold_clearance: a motion whose goals would end nearer than this is held [m].
        rest_clearance: so is one in which the arm itself would, which sags below its goals [m].
        following_lag: by which the arm follows its goals [s]; what else is between the two is taken for sag.
        following_overshoot: by how much of its velocity [s] the arm swings past where it comes to rest, when its goals
            brake from there.
        rest_error: how far past its goal friction may leave a joint that was moving [rad].
        stop_clearance: links measured nearer than this, and not on their way apart, stop the arm [m].
    """

    box: Box
    floor: float
    keep_outs: tuple[Box, ...] = ()
    stop_depth: Positive
    slow_clearance: Positive
    hold_clearance: Positive
    rest_clearance: Positive
    following_lag: float = Field(ge=0.0, le=1.0)
    following_overshoot: float = Field(ge=0.0, le=0.2)
    rest_error: float = Field(ge=0.0, le=0.2)
    stop_clearance: Positive

    @model_validator(mode="after")
    def _clearances_fall(self) -> Self:
        if not self.slow_clearance > self.hold_clearance >= self.rest_clearance > self.stop_clearance:
            raise ValueError(
                f"slow_clearance = {self.slow_clearance} must be above hold_clearance = {self.hold_clearance}, that no "
                f"less than rest_clearance = {self.rest_clearance}, and that above stop_clearance = "
                f"{self.stop_clearance}"
            )
        if not self.floor < self.box.high[2]:
            raise ValueError(f"floor = {self.floor} must be below the top of the box, {self.box.high[2]}")
        for keep_out in self.keep_outs:
            inside = zip(keep_out.low, self.box.low, keep_out.high, self.box.high, strict=True)
            if all(low <= box_low and high >= box_high for low, box_low, high, box_high in inside):
                raise ValueError(f"keep-out {keep_out.name} covers the whole workspace box: nowhere is left")
        return self


class PlausibilitySettings(Settings):
    """When measurements are not believed.

    Attributes:
        jump: a joint's step between two readings beyond what its velocity limit allows in that time [rad].
        frozen_time: an angle that does not change by one tick while its goal is for this long in all [s] ...
        frozen_travel: ... farther than this [rad] from where it was at the last change is frozen.
        velocity_mismatch: reported velocity against the difference of positions [rad/s].
        age: of the joint state when the tick judges it [s].
        bus_errors: corrupt and lost answers as a share of transactions.
        bus_window: over which that share is taken [s].
    """

    jump: Grades
    frozen_time: float = Field(gt=0.0, le=10.0)
    frozen_travel: Positive
    velocity_mismatch: Grades
    age: Grades
    bus_errors: Grades
    bus_window: float = Field(gt=0.0, le=60.0)


class HealthSettings(Settings):
    """When servos are not well.

    Attributes:
        temperature: [°C]; speed falls from `slow` on (derating).
        voltage_sag: how far below the nominal supply a servo is, as a share of it.
        voltage_excess: how far above the nominal supply a servo is, as a share of it.
        age: of a servo's temperature and voltage [s].
        stall_velocity: slower than this [rad/s] ...
        stall_load: ... at more than this load counts as a stall.
        stall_time: how long a stall lasts before the arm stops [s].
        jam_error: a joint that is slower than `stall_velocity` while it is behind its goal by more than this [rad] ...
        jam_speed: ... and its goal goes on faster than this [rad/s] is jammed.
        jam_time: how long that lasts before the arm stops [s].
    """

    temperature: Grades
    voltage_sag: Grades
    voltage_excess: Grades
    age: Grades
    stall_velocity: Positive
    stall_load: float = Field(gt=0.0, le=1.0)
    stall_time: float = Field(gt=0.0, le=60.0)
    jam_error: Positive
    jam_speed: Positive
    jam_time: float = Field(gt=0.0, le=60.0)


class TimingSettings(Settings):
    """When the loop, the policy or the operator are late.

    Attributes:
        lateness: of a tick behind its deadline, or of a deadline behind the one before it [s].
        missed_ticks: whole ticks skipped, as a share of all.
        missed_window: over which that share is taken [s].
        action_overdue: time since the action in execution expired [s].
        action_lifetime: longest time that an action may claim for itself [s].
        first_action: how long the arm waits for a policy's first action [s].
        heartbeat: time since the operator's last heartbeat [s], where one is asked for.
    """

    lateness: Grades
    missed_ticks: Grades
    missed_window: float = Field(gt=0.0, le=60.0)
    action_overdue: Grades
    action_lifetime: Positive
    first_action: Positive
    heartbeat: Grades


class UncertaintySettings(Settings):
    """When the learned model is out of its depth. Thresholds belong to a model: none are given without one.

    Attributes:
        required: whether running without a disagreement and a residual is refused.
        first_residual: how long a required residual may take to be there after the first action [s]; a period of the
            ensemble has to pass before there is one.
        model: SHA-256 of the file of the ensemble that the thresholds were taken with; None is not checked.
        disagreement: of the ensemble.
        residual: of the ensemble's one-step prediction.
    """

    required: bool = False
    first_residual: Positive = 2.0
    model: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    disagreement: Grades | None = None
    residual: Grades | None = None

    @model_validator(mode="after")
    def _required_has_thresholds(self) -> Self:
        if self.required and (self.disagreement is None or self.residual is None):
            raise ValueError("required = True needs thresholds for disagreement and residual: give both")
        return self


class SafetySettings(Settings):
    """The `safety` section of an arm's YAML.

    Attributes:
        min_speed_scale: the least that speed is scaled down to before the arm holds.
        hold_limit: a hold, or several with short breaks, that lasts longer becomes a stop [s].
        kinematics: joint motion.
        workspace: tool frame and clearances.
        plausibility: whether measurements are believed.
        health: of the servos.
        timing: of loop, policy and operator.
        uncertainty: of the learned model.
        sources: where the figures come from, by key.
    """

    min_speed_scale: float = Field(default=0.1, gt=0.0, lt=1.0)
    hold_limit: float = Field(default=1.0, gt=0.0, le=60.0)
    kinematics: KinematicSettings
    workspace: WorkspaceSettings
    plausibility: PlausibilitySettings
    health: HealthSettings
    timing: TimingSettings
    uncertainty: UncertaintySettings = UncertaintySettings()
    sources: dict[str, str] = Field(default_factory=dict)


class MonitorThresholds(Settings):
    """A file of thresholds, as `robot-mbrl calibrate monitor` writes it: a part of the `safety` section.

    Attributes:
        uncertainty: the thresholds.
        sources: where they come from.
    """

    uncertainty: UncertaintySettings
    sources: dict[str, str] = Field(default_factory=dict)

    def over(self, safety: Mapping[str, Any]) -> dict[str, Any]:
        """`safety`, keys and sections as in the YAML, with what is given here.

        Thresholds are added or replaced, none is taken away, and what requires them stays required: what stands here
        as a default or as null is silence. How long a residual may take counts where it is required here.
        """
        given = self.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        if not self.uncertainty.required:
            for name in ("required", "first_residual"):
                given["uncertainty"].pop(name, None)
        return merged(safety, given)


class JointLimits(Settings):
    """One joint's own limits.

    Attributes:
        name: of the joint.
        position: lowest and highest angle [rad].
        velocity: [rad/s].
        acceleration: [rad/s²].
        jerk: [rad/s³].
        current: [A], None where it is not measured.
        supply_voltage: nominal [V].
    """

    name: str = Field(min_length=1)
    position: tuple[float, float]
    velocity: Positive
    acceleration: Positive
    jerk: Positive
    current: Positive | None = None
    supply_voltage: Positive

    @model_validator(mode="after")
    def _limits_are_ordered(self) -> Self:
        low, high = self.position
        if not low < high:
            raise ValueError(f"position limits of {self.name}: {low} must be below {high}")
        return self


class MonitorSettings(SafetySettings):
    """All that a monitor needs to know.

    Attributes:
        joints: limits of the n joints, in the arm's order.
    """

    joints: tuple[JointLimits, ...] = Field(min_length=1, max_length=MAX_JOINTS)
