"""Stop an arm's servos from outside, when the process that drove them is dead.

This is what is left when the controlled stop cannot be had any more: nobody knows the commanded path. Position servos
come to rest at the last goal that they were given, so a stop that is to hold leaves goals and torque alone, and only
makes sure of them. It never sends a goal and never switches a torque on, so that it cannot move an arm.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from pydantic import Field

from robot_mbrl.contracts.clock import Clock, to_ns
from robot_mbrl.contracts.config import BusSettings, RobotSettings, Settings
from robot_mbrl.contracts.errors import BusError, PortBusy, RobotMbrlError
from robot_mbrl.contracts.rest import await_rest
from robot_mbrl.contracts.types import FloatArray, StopCategory
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.drivers.bus import ServoBus, open_bus
from robot_mbrl.drivers.calibration import default_path, load_calibration
from robot_mbrl.drivers.dialects import arm_servos, dialect_of
from robot_mbrl.drivers.torque import release

PATIENT: Final = BusSettings(retries=5, margin=0.02)
"""The line may still carry what the dead process asked for, and the computer may be why it died."""
PORT_PATIENCE: Final = 2.0
"""How long to wait for a killed process to let go of its port [s]; the kernel closes it within milliseconds."""
PORT_RETRY: Final = 0.005


class StopReport(Settings):
    """What was done and found, by joint name.

    Attributes:
        done: one line for people.
        complete: whether the arm is as the stop category wants it: at rest with torque, or without torque.
        torque: whether each servo has torque; None where the servo did not answer.
        position: angles at the end [rad].
        goal: goals that the servos hold [rad].
        at_rest: whether no joint moved any more.
        errors: what went wrong on the way, one line each.
    """

    done: str
    complete: bool
    torque: dict[str, bool | None] = Field(default_factory=dict)
    position: dict[str, float | None] = Field(default_factory=dict)
    goal: dict[str, float | None] = Field(default_factory=dict)
    at_rest: bool = False
    errors: tuple[str, ...] = ()


class ServoStop:
    """A stop that is made ready beforehand, so that nothing has to be read or loaded when it is needed."""

    def __init__(self, robot: RobotSettings, category: StopCategory, clock: Clock) -> None:
        """Load the arm's definition and calibration. Opens nothing.

        Raises:
            ConfigError: unknown arm, malformed files.
            CalibrationMissing: no calibration at the given or default path.
        """
        self._robot = robot
        self._category = category
        self._clock = clock
        self._arm = load_arm(robot.arm)
        calibration = load_calibration(robot.calibration or default_path(self._arm), self._arm)
        self._maps = [calibration.joints[name].joint_map for name in self._arm.joint_names]
        self._servos = arm_servos(self._arm)
        self._dialect = dialect_of(self._arm.protocol)
        self._errors: list[str] = []

    def perform(self) -> StopReport:
        """Take the port and stop. Never raises for what the arm or the port does: the report says it."""
        self._errors = []
        try:
            bus = self._open()
        except RobotMbrlError as error:
            return StopReport(done=f"could not take the port: {error}", complete=False, errors=(str(error),))
        try:
            return self._stop(bus)
        except RobotMbrlError as error:
            self._errors.append(str(error))
            return StopReport(done=f"the stop failed: {error}", complete=False, errors=tuple(self._errors))
        finally:
            bus.close()

    def torque_found(self) -> str:
        """Which servos have torque, in words. Changes nothing, and never raises for what the arm or the port does."""
        self._errors = []
        try:
            bus = self._open()
        except RobotMbrlError as error:
            return f"could not take the port: {error}"
        try:
            torque = self._torque(bus)
        except RobotMbrlError as error:
            return f"their torque could not be read: {error}"
        finally:
            bus.close()
        on, mute = ([name for name, state in torque.items() if state is wanted] for wanted in (True, None))
        told = f"{', '.join(on)} have torque and hold" if on else "no servo that answers has torque"
        return f"{told}; {', '.join(mute)} did not answer" if mute else told

    def _open(self) -> ServoBus:
        settings = PATIENT.model_copy(update={"baud": self._robot.bus.baud, "usb_latency": self._robot.bus.usb_latency})
        deadline_ns = self._clock.now_ns() + to_ns(PORT_PATIENCE)
        while True:
            try:
                return open_bus(self._robot.port, self._arm.protocol, self._arm.baud, self._clock, settings)
            except PortBusy:
                if self._clock.now_ns() > deadline_ns:
                    raise
                self._clock.sleep_until_ns(self._clock.now_ns() + to_ns(PORT_RETRY))

    def _stop(self, bus: ServoBus) -> StopReport:
        if self._category is StopCategory.TORQUE_OFF:
            self._torque_off(bus)
        at_rest = await_rest(self._clock, lambda: self._positions(bus))
        if self._category is StopCategory.RAMP_OFF:
            self._torque_off(bus)
        torque = self._torque(bus)
        held = [state is True for state in torque.values()]
        off = [state is False for state in torque.values()]
        complete = at_rest and all(held) if self._category is StopCategory.HOLD else all(off)
        return StopReport(
            done=self._describe(torque, at_rest=at_rest),
            complete=complete,
            torque=torque,
            position=self._angles(bus, self._dialect.position),
            goal=self._angles(bus, "goal_position"),
            at_rest=at_rest,
            errors=tuple(self._errors),
        )

    def _describe(self, torque: Mapping[str, bool | None], *, at_rest: bool) -> str:
        rest = "at rest" if at_rest else "NOT at rest"
        wanted = self._category is StopCategory.HOLD
        odd = [name for name, state in torque.items() if state is not wanted]
        if wanted and not odd:
            return f"the arm is {rest}, held by its torque at the last goals"
        if not odd:
            return "the torque of all joints is off"
        return f"the arm is {rest}, but the torque of {', '.join(odd)} is not {'on' if wanted else 'off'}"

    def _torque_off(self, bus: ServoBus) -> None:
        """Let go of all servos; what did not hear it is found out by reading, and told."""
        try:
            release(bus, self._dialect, self._servos)
        except BusError as error:
            self._errors.append(str(error))

    def _positions(self, bus: ServoBus) -> FloatArray:
        """(n,) [rad], NaN where a servo does not answer."""
        angles = self._angles(bus, self._dialect.position).values()
        return np.array([np.nan if angle is None else angle for angle in angles])

    def _angles(self, bus: ServoBus, register: str) -> dict[str, float | None]:
        ticks = self._read(bus, register)
        maps = dict(zip(self._arm.joint_names, self._maps, strict=True))
        return {joint: None if tick is None else maps[joint].to_rad(tick) for joint, tick in ticks.items()}

    def _torque(self, bus: ServoBus) -> dict[str, bool | None]:
        values = self._read(bus, "torque_enable")
        return {joint: None if value is None else bool(value) for joint, value in values.items()}

    def _read(self, bus: ServoBus, register: str) -> dict[str, int | None]:
        """One register of each servo, one servo after the other, so that a dead one hides no other."""
        values: dict[str, int | None] = {}
        for servo in self._servos:
            try:
                values[servo.joint] = bus.read_register(servo.id, servo.register(register))
            except BusError as error:
                values[servo.joint] = None
                line = f"{servo.label}: {error}"
                if line not in self._errors:
                    self._errors.append(line)
        return values
