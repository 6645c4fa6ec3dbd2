"""An emulated STS3215: what its registers do.

Sources: Feetech's STS memory table and LeRobot's control table. Where neither says, the choice is stated beside the
code as an assumption. The position loop is P alone: Feetech publishes no scale for I and D, and BAM's fits to real
servos (Duclusaud et al., ICRA 2025) do without either, so those two registers are kept and have no effect.
"""

import math
import struct
from collections.abc import Iterable
from typing import Final

from robot_mbrl.contracts.plant import Bridge
from robot_mbrl.drivers.arms import TICKS_PER_REVOLUTION
from robot_mbrl.drivers.feetech.codec import StatusBit
from robot_mbrl.drivers.feetech.sts3215 import (
    BAUD_RATES,
    PHASE_FINE_SPEED,
    PHASE_MULTI_TURN,
    TORQUE_CENTRE,
    TORQUE_DAMPING,
    TORQUE_OFF,
    TORQUE_ON,
)
from robot_mbrl.drivers.registers import ControlTable, Register
from robot_mbrl.drivers.virtual.feetech_protection import CURRENT_UNIT, FeetechProtection, ProtectionLimits
from robot_mbrl.drivers.virtual.profile import UNLIMITED
from robot_mbrl.drivers.virtual.servo import EmulatedServo
from robot_mbrl.drivers.virtual.shaft import Shaft

POSITION, SPEED, PWM, STEP = 0, 1, 2, 3

ACCELERATION_UNIT: Final = 100.0
"""[ticks/s²] per unit of acceleration, 8.79 °/s² (the memory table rounds it to 8.7)."""
COARSE_SPEED_UNIT: Final = 50.0
"""[ticks/s] per unit of speed when phase bit 2 is clear, 0.732 rpm; with the bit set it is 1 tick/s, 0.0146 rpm."""

_PHASE_REVERSE_DRIVE, _PHASE_ZERO_IS_MAX, _PHASE_REVERSE_FEEDBACK = 1, 8, 128
_MIDDLE: Final = 2048

_SPEED_P: Final = 5e-5
_SPEED_I: Final = 5e-5
"""Duty per tick/s of error, and per tick, of one unit of the speed loop's gains; an assumption, no source."""
_MOVING_SPEED: Final = 20.0
"""[ticks/s] from which the moving flag is set although the set point rests; an assumption."""

_FEEDBACK: Final = struct.Struct("<HHHBBBBBHH")
"""present_position to present_current, addresses 56 to 70."""
_FEEDBACK_ADDRESS: Final = 56
_CONTROL_REGISTERS: Final = frozenset({"goal_position", "goal_time", "goal_velocity", "acceleration"})


class FeetechServo(EmulatedServo):
    """An STS3215 on its shaft."""

    boot_time = 0.8
    baud_rates = BAUD_RATES

    def __init__(self, name: str, table: ControlTable, shaft: Shaft, position_gain: float, timestep: float) -> None:
        super().__init__(name, table, shaft, position_gain, timestep)
        self._turn_base = 0
        self._integral = 0.0
        self._load = 0.0
        self._speed_setpoint = 0.0
        self._phase = self._mode = self._torque = self._offset = 0
        self._lowest = self._highest = self._acceleration_cap = 0
        self._dead_below = self._dead_above = 0
        self._feedback_sign = self._drive_sign = 1
        self._single_turn = True
        self._speed_goal = self._startup_duty = 0.0
        self._p = self._speed_p = self._speed_i = 0.0
        self._duty_limit = 1.0
        self._protection = FeetechProtection(self._protection_limits(), timestep)
        self.power_on()

    @property
    def status(self) -> int:
        """The status byte of its answers."""
        return self._protection.status

    @property
    def answers_writes(self) -> bool:
        """Whether it acknowledges more than ping and read."""
        return self._get("response_status_level") != 0

    def write(self, address: int, data: bytes) -> int:
        """Write; what is read-only or does not exist is left alone, and the answer does not tell."""
        touched: list[str] = []
        end = min(address + len(data), self.table.size)
        at = address
        while at < end:
            register = self._registers_at[at]
            stop = at + 1 if register is None else min(register.address + register.size, end)
            if (
                register is not None
                and register.writable
                and self._accept(register, at, data[at - address : stop - address])
            ):
                touched.append(register.name)
            at = stop
        self._act_on(touched)
        return 0

    def restore(self) -> None:
        """Factory values in EEPROM, except for the ID, and restart; an assumption, as for the SCS series."""
        servo_id = self.id
        for register in self.table:
            if register.eeprom and register.name != "id":
                self._eeprom[register.address : register.address + register.size] = register.encode(register.default)
        self._eeprom[self.table["id"].address] = servo_id
        self.eeprom_dirty = True
        self.reboot()

    def on_instruction(self) -> None:
        """Nothing: these servos do not watch their host."""

    def trip(self, fault: str) -> None:
        """Set a protection off by hand."""
        bit = {"overload": StatusBit.OVERLOAD, "overheat": StatusBit.OVERHEAT, "overcurrent": StatusBit.OVERCURRENT}[
            fault
        ]
        self._protection.latch(int(bit), self._load)

    def _accept(self, register: Register, address: int, data: bytes) -> bool:
        """Put `data` into a register, held to the register's range; False when the servo ignores it."""
        memory = self.memory
        start, stop = register.address, register.address + register.size
        whole = bytearray(memory[start:stop])
        whole[address - start : address - start + len(data)] = data
        if register.minimum is not None or register.maximum is not None:
            value = register.decode(bytes(whole))
            if register.name == "torque_enable":
                if value not in (TORQUE_OFF, TORQUE_ON, TORQUE_DAMPING, TORQUE_CENTRE):
                    return False
            elif not register.permits(value):
                low = register.lowest if register.minimum is None else register.minimum
                high = register.highest if register.maximum is None else register.maximum
                whole[:] = register.encode(min(max(value, low), high))
        if register.name == "torque_enable" and whole[0] == TORQUE_CENTRE:
            self._calibrate_middle()
            return False
        memory[start:stop] = whole
        if register.eeprom and not self.memory[self.table["lock"].address]:
            self._eeprom[start:stop] = whole
            self.eeprom_dirty = True
        return True

    def _act_on(self, touched: Iterable[str]) -> None:
        names = set(touched)
        if not names:
            return
        if names - _CONTROL_REGISTERS:
            self._configure()
        if "torque_enable" in names:
            self._switch_torque(self._get("torque_enable"))
        if "operating_mode" in names:
            self._hold()
        if names & _CONTROL_REGISTERS:
            self._take_goal(new_position="goal_position" in names)

    def _switch_torque(self, torque: int) -> None:
        self._protection.release()
        if self._torque == TORQUE_OFF and torque == TORQUE_ON:
            self._profile.hold(float(self._position()))
            self._integral = self._speed_setpoint = 0.0
        self._torque = torque
        if torque == TORQUE_ON and self._mode == POSITION:
            self._take_goal(new_position=True)

    def _hold(self) -> None:
        """Stay where the shaft is."""
        self._profile.hold(float(self._position()))
        self._integral = self._speed_setpoint = 0.0

    def _calibrate_middle(self) -> None:
        """Choose the homing offset that makes the present position 2048, and keep it whatever the lock says.

        The offset reaches ±2047, one tick less than half a turn.
        """
        actual = self._turned(self._raw) % TICKS_PER_REVOLUTION
        offset = max(actual - _MIDDLE, -2047)
        register = self.table["homing_offset"]
        data = register.encode(offset)
        self.memory[register.address : register.address + register.size] = data
        self._eeprom[register.address : register.address + register.size] = data
        self.eeprom_dirty = True
        self._configure()
        self._hold()
        self._put("goal_position", self._position())

    def _take_goal(self, *, new_position: bool) -> None:
        profile = self._profile
        unit = 1.0 if self._phase & PHASE_FINE_SPEED else COARSE_SPEED_UNIT
        speed = abs(self._get("goal_velocity")) * unit
        acceleration = self._get("acceleration") or self._acceleration_cap
        if self._acceleration_cap:
            acceleration = min(acceleration, self._acceleration_cap)
        profile.acceleration_limit = acceleration * ACCELERATION_UNIT if acceleration else UNLIMITED
        if new_position and self._mode in (POSITION, STEP):
            goal = float(self._get("goal_position"))
            if self._mode == STEP:
                goal += profile.last_goal
            elif self._lowest or self._highest:
                goal = min(max(goal, self._lowest), self._highest)
            profile.aim(goal)
            self._protection.goal_lies(goal - self._position())
        if speed == 0.0:
            speed = UNLIMITED if self._phase & _PHASE_ZERO_IS_MAX else 0.0
            duration = self._get("goal_time") * 0.001
            if self._mode == POSITION and duration > 0.0:
                speed = abs(profile.last_goal - profile.position) / duration
        profile.velocity_limit = speed
        if self._mode == SPEED:
            self._speed_goal = self._get("goal_velocity") * unit

    def _on_power_up(self) -> None:
        self._put("torque_limit", self._get("max_torque_limit"))
        self._protection.reset()
        self._torque = self._get("torque_enable")
        self._turn_base = math.floor(self._raw / TICKS_PER_REVOLUTION) * TICKS_PER_REVOLUTION
        self._load = 0.0
        self._configure()
        self._hold()
        self._put("goal_position", self._position())

    def _configure(self) -> None:
        get = self._get
        self._phase = get("phase")
        self._mode = get("operating_mode")
        self._offset = get("homing_offset")
        self._lowest, self._highest = get("min_position_limit"), get("max_position_limit")
        self._acceleration_cap = get("maximum_acceleration")
        self._p = self._duty_per_tick * get("p_coefficient")
        self._speed_p = get("speed_closed_loop_p") * _SPEED_P
        self._speed_i = get("velocity_closed_loop_i") * _SPEED_I * self._timestep
        self._startup_duty = get("minimum_startup_force") / 1000.0
        self._dead_above, self._dead_below = get("cw_dead_zone"), -get("ccw_dead_zone")
        self._duty_limit = get("torque_limit") / 1000.0
        multi_turn = self._phase & PHASE_MULTI_TURN or (self._lowest == 0 and self._highest == 0)
        self._single_turn = not multi_turn and self._mode != STEP
        self._feedback_sign = -1 if self._phase & _PHASE_REVERSE_FEEDBACK else 1
        self._drive_sign = -1 if self._phase & _PHASE_REVERSE_DRIVE else 1
        self._protection.configure(self._protection_limits())

    def _protection_limits(self) -> ProtectionLimits:
        get = self._get
        return ProtectionLimits(
            temperature=get("max_temperature_limit"),
            lowest_voltage=get("min_voltage_limit"),
            highest_voltage=get("max_voltage_limit"),
            current=get("protection_current"),
            current_time=get("overcurrent_protection_time"),
            overload_torque=get("overload_torque"),
            overload_time=get("protection_time"),
            protective_torque=get("protective_torque"),
            unloading=get("unloading_condition"),
        )

    def _turned(self, raw: float) -> int:
        return math.floor(self._feedback_sign * (raw - self._turn_base) + 0.5)

    def _position(self) -> int:
        position = self._turned(self._raw) - self._offset
        return position % TICKS_PER_REVOLUTION if self._single_turn else position

    def _control(self) -> float:
        protection = self._protection
        if protection.step(self._load, self._current, self._temperature, self._voltage) and self._torque:
            self._torque = TORQUE_OFF
            self._put("torque_enable", TORQUE_OFF)
        torque = self._torque
        if torque == TORQUE_OFF:
            self.bridge = int(Bridge.OPEN)
            self._load = 0.0
            return 0.0
        self.bridge = int(Bridge.DRIVEN)
        if torque == TORQUE_DAMPING:
            self._load = 0.0
            return 0.0
        mode = self._mode
        if mode in (POSITION, STEP):
            duty = self._position_duty()
        elif mode == SPEED:
            duty = self._speed_duty()
        else:
            duty = self._get("goal_time") / 1000.0
        limit = min(self._duty_limit, protection.torque_cap)
        self._load = duty = min(max(duty, -limit), limit)
        return duty * self._drive_sign

    def _position_duty(self) -> float:
        profile = self._profile
        profile.step()
        error = profile.position - self._position()
        if self._dead_below <= error <= self._dead_above:
            error = 0.0
        duty = self._p * error
        if error and abs(duty) < self._startup_duty:
            return math.copysign(self._startup_duty, error)
        return duty

    def _speed_duty(self) -> float:
        change = self._profile.acceleration_limit * self._timestep
        self._speed_setpoint += min(max(self._speed_goal - self._speed_setpoint, -change), change)
        error = self._speed_setpoint - self._feedback_sign * self._velocity
        self._integral = min(max(self._integral + self._speed_i * error, -self._duty_limit), self._duty_limit)
        return self._speed_p * error + self._integral

    def _refresh(self) -> None:
        unit = 1.0 if self._phase & PHASE_FINE_SPEED else COARSE_SPEED_UNIT
        moving = self._profile.moving or abs(self._velocity) > _MOVING_SPEED
        _FEEDBACK.pack_into(
            self.memory,
            _FEEDBACK_ADDRESS,
            _sign_magnitude(self._position(), 0x8000),
            _sign_magnitude(round(self._feedback_sign * self._velocity / unit), 0x8000),
            _sign_magnitude(round(self._load * 1000.0), 0x400),
            min(max(round(self._voltage * 10.0), 0), 255),
            min(max(round(self._temperature), 0), 255),
            self.has_registered_write,
            self._protection.status,
            moving,
            _sign_magnitude(round(self._profile.position), 0x8000),
            _sign_magnitude(round(self._current / CURRENT_UNIT), 0x8000),
        )


def _sign_magnitude(value: int, sign: int) -> int:
    """`value` with the bit `sign` for a minus, held to what fits below that bit."""
    return min(value, sign - 1) if value >= 0 else min(-value, sign - 1) | sign
