"""`SerialArm`: the `Robot` on a servo bus."""

import math

import numpy as np

from robot_mbrl.contracts.clock import Clock, to_ns
from robot_mbrl.contracts.config import RobotSettings
from robot_mbrl.contracts.errors import BusError, NotReady, ServoFault
from robot_mbrl.contracts.types import FloatArray, HardwareError, Health, JointCommand, JointState, StopCategory
from robot_mbrl.drivers.arm_checks import (
    check_calibration,
    check_identity,
    configure,
    find_servos,
    read_torque,
    seed_goals,
)
from robot_mbrl.drivers.arms import BRAKING_TIMESTEP, ArmDefinition, CommandedPath, check_command, load_arm
from robot_mbrl.drivers.bus import ServoBus, open_bus
from robot_mbrl.drivers.calibration import ArmCalibration, default_path, load_calibration
from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.dialects import Servo, dialect
from robot_mbrl.drivers.health_rota import HealthRota
from robot_mbrl.drivers.servo_faults import servo_fault
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
        self._dialect = dialect(arm.protocol)
        self._servos = [Servo(joint.name, joint.id, control_table(joint.servo)) for joint in arm.joints]
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
        self._rota = HealthRota(bus, self._dialect, self._servos, self._units)
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

        An arm that was stopped by its own bus watchdog is still stopped afterwards, until `reset`.
        """
        bus, servos = self._bus, self._servos
        find_servos(bus, servos)
        check_identity(bus, self._dialect, servos)
        check_calibration(bus, servos, self._calibration, self._arm)
        self._units = [self._read_units(servo) for servo in servos]
        self._scale = self._state_scale()
        for index in range(len(servos)):
            self._rota.poll(index)
        self._sample()
        torque = read_torque(bus, servos)
        configure(bus, self._dialect, servos, self._arm.joints, torque)
        self._seed_path(seed_goals(bus, self._dialect, servos, torque))
        self._torque = all(torque)
        self._stopped = self._torque and bool((self._rota.watchdog == WATCHDOG_TRIPPED).any())
        self._connected = True

    def _state_scale(self) -> FloatArray:
        """(n, 2) what one count of velocity [rad/s] and load is, with the joint's sign."""
        pairs = zip(self._maps, self._units, strict=True)
        return np.array([(joint_map.sign * unit.velocity, joint_map.sign * unit.load) for joint_map, unit in pairs])

    def _read_units(self, servo: Servo) -> ServoUnits:
        """The servo's units; a Feetech servo chooses its unit of speed by a bit of `phase`."""
        phase = self._bus.read_register(servo.id, servo.register("phase")) if "phase" in servo.table else None
        return servo_units(servo.table.servo, phase)

    def set_torque(self, *, enabled: bool) -> None:
        """Switch the torque of all joints and read back that it happened. See `Robot.set_torque`."""
        self._require_connection()
        if enabled and (self._fault or self._stopped):
            raise self._fault or NotReady(f"{self._arm.name} is stopped: call reset() before its torque goes on")
        if enabled:
            torque = read_torque(self._bus, self._servos)
            self._seed_path(seed_goals(self._bus, self._dialect, self._servos, torque))
        register = self._servos[0].register("torque_enable")
        if not enabled:
            self._arm_watchdog(0.0)
        self._bus.sync_write(register.address, {servo_id: register.encode(int(enabled)) for servo_id in self._ids})
        states = read_torque(self._bus, self._servos)
        self._torque = all(states)
        for servo, state in zip(self._servos, states, strict=True):
            if state != enabled:
                word = "on" if enabled else "off"
                raise BusError(f"{servo.label}: torque did not go {word}: check the servo's status, then try again")
        if enabled:
            self._arm_watchdog(self._watchdog)

    def _arm_watchdog(self, seconds: float) -> None:
        """Set the servos' own bus watchdog; 0 disarms and clears it."""
        if not self._dialect.watchdog:
            return
        value = math.ceil(seconds / WATCHDOG_UNIT)
        for servo in self._servos:
            self._bus.write_register(servo.id, servo.register(self._dialect.watchdog), value)

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
                self._rota.current[index] = rows[index][2] * units.current
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
        protocol, statistics = self._bus.protocol, self._bus.statistics
        for index, servo in enumerate(self._servos):
            status = statistics.servo(servo.id).status
            error = protocol.hardware_error(status)
            if self._dialect.hardware_error and protocol.alert(status):
                error = self._rota.read_hardware_error(index)
            new = error & ~self._errors[index]
            self._errors[index] = error
            if new:
                self._rota.poll(index)
                self._fault = self._describe(index, error, float(state.load[index]))
                raise self._fault

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
        """One servo's turn of the slow rota.

        Raises:
            NotReady: its bus watchdog tripped: it stopped by itself, because the host was silent for too long.
        """
        index = self._rota.poll_next()
        self._rota_due = False
        if self._rota.watchdog[index] == WATCHDOG_TRIPPED and self._torque and not self._stopped:
            self._stopped = True
            raise NotReady(
                f"{self._servos[index].label}: stopped by its own bus watchdog, the host was silent for more than "
                f"{self._watchdog} s: call reset() to go on"
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
        """Brake along the commanded path, then hold or let go; category 0 lets go at once. See `Robot.stop`."""
        self._require_connection()
        if not self._stopped and self._torque and category != StopCategory.TORQUE_OFF:
            self._brake()
        self._stopped = True
        if category != StopCategory.HOLD:
            self.set_torque(enabled=False)

    def _brake(self) -> None:
        deadline = self._clock.now_ns()
        for goal in self._path.braking(deadline):
            self._send_goals(goal)
            deadline += to_ns(BRAKING_TIMESTEP)
            self._clock.sleep_until_ns(deadline)
            self._path.seed(goal, deadline)

    def reset(self) -> None:
        """Leave the stopped state. See `Robot.reset`.

        Raises:
            ServoFault: a servo still reports a hardware error.
        """
        self._require_connection()
        self._fault = None
        self._errors = [HardwareError.NONE] * len(self._servos)
        self._sample()
        if self._torque:
            self._arm_watchdog(0.0)
            self._arm_watchdog(self._watchdog)
        self._stopped = False

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
