"""`SerialArm`: the `Robot` on a servo bus."""

import math
from collections.abc import Iterator

import numpy as np

from robot_mbrl.contracts.clock import Clock, to_ns
from robot_mbrl.contracts.config import RobotSettings
from robot_mbrl.contracts.errors import NotReady, RobotMbrlError, ServoFault, ServoTorqueLost
from robot_mbrl.contracts.rest import await_rest
from robot_mbrl.contracts.types import FloatArray, HardwareError, Health, JointCommand, JointState, StopCategory
from robot_mbrl.drivers.arm_checks import (
    check_calibration,
    check_identity,
    check_plausible,
    configure,
    find_servos,
)
from robot_mbrl.drivers.arms import BRAKING_TIMESTEP, ArmDefinition, CommandedPath, check_command, load_arm
from robot_mbrl.drivers.bus import ServoBus, open_bus
from robot_mbrl.drivers.calibration import ArmCalibration, default_path, load_calibration
from robot_mbrl.drivers.dialects import Servo, arm_servos, dialect_of
from robot_mbrl.drivers.health_rota import HealthRota
from robot_mbrl.drivers.servo_faults import servo_fault
from robot_mbrl.drivers.torque import engage, held_goals, read_torque, release, seed_goal, set_watchdog
from robot_mbrl.drivers.units import ServoUnits, servo_units

WATCHDOG_UNIT = 0.02
"""Dynamixel's bus watchdog counts 20 ms (e-Manual, address 98)."""
WATCHDOG_TRIPPED = -1


class SerialArm:
    """An arm of servos on one bus, as its definition and its calibration describe it.

    One owner at a time; not thread-safe. See `contracts.robot.Robot` for what each method promises.
    """

    def __init__(
        self, arm: ArmDefinition, bus: ServoBus, calibration: ArmCalibration, clock: Clock, watchdog: float = 0.0
    ) -> None:
        """Use `bus`, which this object then owns. Sends nothing.

        Args:
            arm: its definition.
            bus: the open servo bus.
            calibration: sign, zero and registers of each joint.
            clock: for time stamps and the pace of a controlled stop.
            watchdog: how long servos that can watch the bus wait for the host before they stop [s]; 0 is off.

        Raises:
            CalibrationError: the calibration is of another arm.
        """
        calibration.check_fits(arm, "calibration")
        self._arm = arm
        self._bus = bus
        self._calibration = calibration
        self._clock = clock
        self._watchdog = watchdog
        self._dialect = dialect_of(arm.protocol)
        self._servos = arm_servos(arm)
        self._ids = [servo.id for servo in self._servos]
        self._units = [servo_units(joint.servo) for joint in arm.joints]
        self._maps = [calibration.joints[joint.name].joint_map for joint in arm.joints]
        self._scale = self._state_scale()
        self._path = CommandedPath(arm)
        self._blocks = [
            self._dialect.state_block(servo.table, units.load_register)
            for servo, units in zip(self._servos, self._units, strict=True)
        ]
        self._goal_register = self._servos[0].register("goal_position")
        signs = [joint_map.sign for joint_map in self._maps]
        self._rota = HealthRota(bus, self._dialect, self._servos, self._units, signs)
        self._connected = self._torque = self._stopped = False
        self._rota_due = False
        self._fault: ServoFault | None = None
        self._errors = [HardwareError.NONE] * len(self._servos)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints."""
        return self._arm.joint_names

    @property
    def bus(self) -> ServoBus:
        """The bus, for its statistics."""
        return self._bus

    @property
    def has_torque(self) -> bool:
        """Whether all servos had torque when that was last looked at or changed."""
        return self._torque

    @property
    def goal_position(self) -> FloatArray:
        """(n,) the goals that the servos hold [rad], as `connect` found or seeded them or as last written."""
        return self._path.goal.copy()

    # -- connecting ---------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Check the arm, configure what has no torque, seed goals. See `Robot.connect`.

        A stop or fault that is latched stays so until `reset`, also when an earlier host's bus watchdog tripped.

        Raises:
            CalibrationStale: also for a joint that is read far outside its limits.
        """
        bus, servos = self._bus, self._servos
        self._errors = [HardwareError.NONE] * len(servos)
        find_servos(bus, servos)
        check_identity(bus, self._dialect, servos)
        check_calibration(bus, servos, self._calibration, self._arm)
        self._units = [self._read_units(servo) for servo in servos]
        self._scale = self._state_scale()
        self._rota.poll_all()
        self._sample()
        torque = self._rota.torque.tolist()
        configure(bus, self._dialect, servos, self._arm.joints, torque)
        # Only now: the operating mode decides whether turns are counted.
        check_plausible(self._arm, self._sample().position)
        for servo, on in zip(servos, torque, strict=True):
            if not on:
                seed_goal(bus, self._dialect, servo)
        self._seed_path(held_goals(bus, servos))
        self._torque = all(torque)
        self._stopped |= self._torque and self._tripped
        self._connected = True

    @property
    def _tripped(self) -> bool:
        """Whether a servo's own bus watchdog stopped it, as far as the rota has seen."""
        return bool((self._rota.watchdog == WATCHDOG_TRIPPED).any())

    def _state_scale(self) -> FloatArray:
        """(n, 2) what one count of velocity [rad/s] and load is, with the joint's sign."""
        pairs = zip(self._maps, self._units, strict=True)
        return np.array([(joint_map.sign * unit.velocity, joint_map.sign * unit.load) for joint_map, unit in pairs])

    def _read_units(self, servo: Servo) -> ServoUnits:
        """The servo's units; a Feetech servo chooses its unit of speed by a bit of `phase`."""
        phase = self._bus.read_register(servo.id, servo.register("phase")) if "phase" in servo.table else None
        return servo_units(servo.table.servo, phase)

    def set_torque(self, *, enabled: bool) -> None:
        """Switch the torque of all joints and read back that it happened. See `Robot.set_torque`.

        Raises:
            LimitViolation: a joint rests outside its servo's range, and torque would move it; nothing was switched.
        """
        self._require_connection()
        if not enabled:
            self._torque = False
            release(self._bus, self._dialect, self._servos)
            self._rota.torque[:] = False
            return
        if self._fault or self._stopped:
            raise self._fault or NotReady(f"{self._arm.name} is stopped: call reset() before its torque goes on")
        # A servo whose power failed meanwhile has forgotten what is not in its EEPROM.
        configure(self._bus, self._dialect, self._servos, self._arm.joints, read_torque(self._bus, self._servos))
        watchdog = math.ceil(self._watchdog / WATCHDOG_UNIT)
        self._seed_path(engage(self._bus, self._dialect, self._servos, self._calibration, watchdog))
        self._rota.torque[:] = True
        self._rota.watchdog[:] = watchdog
        self._torque = True

    # -- the cycle ----------------------------------------------------------------------------------------------

    def read(self) -> JointState:
        """Positions, velocities and loads of all joints, in one transaction. See `Robot.read`.

        Raises:
            ServoFault: a servo newly reports a hardware error. The next call reads on, so that the arm can still be
                stopped under control; `write` is refused until `reset`.
        """
        self._require_connection()
        if self._rota_due:
            self._poll_health()
        state = self._sample()
        self._rota_due = True
        return state

    def _sample(self) -> JointState:
        block = self._blocks[0]
        data = self._bus.sync_read(block.address, block.size, self._ids)
        rows = [part.decode(data[servo_id]) for part, servo_id in zip(self._blocks, self._ids, strict=True)]
        for index, units in enumerate(self._units):
            if units.load_register == "present_current" and units.current is not None:
                self._rota.current[index] = self._maps[index].sign * rows[index][2] * units.current
        state = JointState(
            stamp_ns=self._bus.last_answer_ns,
            position=np.array(self._to_rad([row[0] for row in rows])),
            velocity=self._scale[:, 0] * [row[1] for row in rows],
            load=self._scale[:, 1] * [row[2] for row in rows],
        )
        self._check_status(state)
        return state

    def _check_status(self, state: JointState) -> None:
        """Raise for hardware errors that were not there before."""
        for index, error in enumerate(self._read_errors()):
            new = error & ~self._errors[index]
            self._errors[index] = error
            if new:
                self._rota.poll(index)
                self._fault = self._describe(index, error, float(state.load[index]))
                raise self._fault

    def _read_errors(self) -> Iterator[HardwareError]:
        """What each servo's latest status says; a register is read where that only gives the alarm."""
        protocol, statistics = self._bus.protocol, self._bus.statistics
        for index, servo in enumerate(self._servos):
            status = statistics.servo(servo.id).status
            if self._dialect.hardware_error and protocol.alert(status):
                yield self._rota.read_hardware_error(index)
            else:
                yield protocol.hardware_error(status)

    def _describe(self, index: int, error: HardwareError, load: float) -> ServoFault:
        return servo_fault(
            self._arm,
            self._arm.joints[index],
            error,
            voltage=float(self._rota.voltage[index]),
            temperature=float(self._rota.temperature[index]),
            load=load,
        )

    def health(self) -> Health:
        """What the slow rota last read. See `Robot.health`."""
        return self._rota.snapshot(self._errors)

    def _poll_health(self) -> None:
        """One turn of the slow rota.

        Raises:
            ServoTorqueLost: the servo let go by itself.
            NotReady: its bus watchdog tripped: it stopped by itself, because the host was silent for too long.
        """
        self._rota_due = False
        index = self._rota.poll_next()
        if not self._torque:
            return
        label = self._servos[index].label
        if not self._rota.torque[index]:
            self._torque = False
            self._fault = ServoTorqueLost(
                f"{label}: lost its torque by itself, its power failed or a protection let go: support the arm, check "
                "the cable, then connect again"
            )
            raise self._fault
        if self._tripped and not self._stopped:
            self._stopped = True
            raise NotReady(
                f"{label}: stopped by its own bus watchdog, the host was silent for more than {self._watchdog} s: call "
                "reset() to go on"
            )

    def write(self, command: JointCommand) -> None:
        """Send goal positions, then give one servo its turn of the slow rota. See `Robot.write`."""
        self._require_connection()
        if self._fault or self._stopped:
            raise self._fault or NotReady(f"{self._arm.name} is stopped: call reset() before commanding it")
        if not self._torque:
            raise NotReady(f"{self._arm.name} has no torque: call set_torque(enabled=True) before commanding it")
        check_command(self._arm, command)
        self._send_goals(command.position)
        self._path.advance(command.position, self._clock.now_ns())
        self._poll_health()

    def _send_goals(self, position: FloatArray) -> None:
        register = self._goal_register
        goals = zip(self._ids, self._maps, position.tolist(), strict=True)
        data = {servo_id: register.encode(joint_map.to_tick(goal)) for servo_id, joint_map, goal in goals}
        self._bus.sync_write(register.address, data)

    def _seed_path(self, ticks: list[int]) -> None:
        self._path.seed(np.array(self._to_rad(ticks)), self._clock.now_ns())

    def _to_rad(self, ticks: list[int]) -> list[float]:
        return [joint_map.to_rad(tick) for joint_map, tick in zip(self._maps, ticks, strict=True)]

    # -- stopping -----------------------------------------------------------------------------------------------

    def stop(self, category: StopCategory = StopCategory.HOLD) -> None:
        """Brake along the commanded path, then hold or let go; category 0 lets go at once. See `Robot.stop`.

        The stop is latched first, so that it also is when the bus fails meanwhile.
        """
        self._require_connection()
        # One servo that has lost its torque lets the others fly on no less.
        moving = not self._stopped and bool(self._rota.torque.any())
        self._stopped = True
        try:
            if moving and category != StopCategory.TORQUE_OFF:
                self._brake()
            if moving and category == StopCategory.RAMP_OFF:
                await_rest(self._clock, self._position_if_any, BRAKING_TIMESTEP)
        finally:
            if category != StopCategory.HOLD:
                self.set_torque(enabled=False)

    def _brake(self) -> None:
        deadline = self._clock.now_ns()
        for goal in self._path.braking(deadline):
            self._send_goals(goal)
            deadline += to_ns(BRAKING_TIMESTEP)
            self._clock.sleep_until_ns(deadline)
            self._path.seed(goal, deadline)

    def _position_if_any(self) -> FloatArray:
        """(n,) [rad]; NaN while the servos cannot be read, which the stop has been told of or the next reading will."""
        try:
            return self._sample().position
        except RobotMbrlError:
            return np.full(len(self._servos), np.nan)

    def reset(self) -> None:
        """Leave the stopped state. See `Robot.reset`.

        What is latched stays latched when anything fails here. A servo that its bus watchdog stopped gets its present
        position as its goal: the old one is where it was going when the host fell silent.

        Raises:
            ServoFault: a servo still reports a hardware error, or has lost its torque.
            BusError: the arm could not be asked.
        """
        self._require_connection()
        self._errors = [HardwareError.NONE] * len(self._servos)
        self._sample()
        self._rota.poll_all()
        torque = self._rota.torque.tolist()
        if self._torque and not all(torque):
            servo = self._servos[torque.index(False)]
            raise ServoTorqueLost(f"{servo.label}: has lost its torque: support the arm and connect again")
        if self._torque:
            self._restart_watchdogs()
            self._seed_path(held_goals(self._bus, self._servos))
        self._fault = None
        self._stopped = False

    def _restart_watchdogs(self) -> None:
        """Clear what tripped, leave no goal in the distance, and arm the watchdogs anew."""
        for servo, value in zip(self._servos, self._rota.watchdog.tolist(), strict=True):
            if value == WATCHDOG_TRIPPED:
                seed_goal(self._bus, self._dialect, servo)
        watchdog = math.ceil(self._watchdog / WATCHDOG_UNIT)
        set_watchdog(self._bus, self._dialect, self._servos, watchdog)
        self._rota.watchdog[:] = watchdog

    def close(self) -> None:
        """Give up the port. See `Robot.close`."""
        self._connected = False
        self._bus.close()

    def _require_connection(self) -> None:
        if not self._connected:
            raise NotReady(f"{self._arm.name} on {self._bus.name} is not connected: call connect() first")


def open_arm(settings: RobotSettings, clock: Clock) -> SerialArm:
    """Open the port that `settings` names and build the arm on it. Sends nothing; call `connect` next.

    Raises:
        ConfigError: unknown arm, malformed files.
        CalibrationMissing: no calibration at the given or default path.
        PortError: the port cannot be opened.
    """
    arm = load_arm(settings.arm)
    calibration = load_calibration(settings.calibration or default_path(arm), arm)
    bus = open_bus(settings.port, arm.protocol, arm.baud, clock, settings.bus)
    return SerialArm(arm, bus, calibration, clock, settings.watchdog)
