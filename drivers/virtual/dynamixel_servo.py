"""An emulated X-series servo (XL330, XL430): what its registers do.

Source: ROBOTIS e-Manual, pages XL330-M288-T and XL430-W250-T, and "Protocol 2.0" for the error codes. Choices that it
leaves open are stated beside the code as assumptions.
"""

import math
import struct
from typing import Final

from robot_mbrl.contracts.plant import Bridge
from robot_mbrl.drivers.arms import TICKS_PER_REVOLUTION
from robot_mbrl.drivers.dynamixel.codec import ResetMode, ResultCode
from robot_mbrl.drivers.dynamixel.framing import ALERT_BIT
from robot_mbrl.drivers.dynamixel.x_series import (
    BAUD_RATES,
    CURRENT_BASED_POSITION_MODE,
    CURRENT_MODE,
    EXTENDED_POSITION_MODE,
    POSITION_MODE,
    PWM_MODE,
    VELOCITY_MODE,
)
from robot_mbrl.drivers.registers import ControlTable, Register
from robot_mbrl.drivers.virtual.dynamixel_access import GOALS, AccessRules, Situation
from robot_mbrl.drivers.virtual.dynamixel_motion import ACCELERATION_UNIT, FULL_PWM, VELOCITY_UNIT, Controllers, Gains
from robot_mbrl.drivers.virtual.dynamixel_protection import (
    OVERHEAT_ERROR,
    OVERLOAD_ERROR,
    SHOCK_ERROR,
    VOLTAGE_ERROR,
    DynamixelProtection,
)
from robot_mbrl.drivers.virtual.indirect import IndirectMap
from robot_mbrl.drivers.virtual.profile import UNLIMITED
from robot_mbrl.drivers.virtual.servo import EmulatedServo
from robot_mbrl.drivers.virtual.shaft import Shaft

_REVERSE, _TIME_BASED, _TORQUE_ON_BY_GOAL = 0x01, 0x04, 0x08
_POSITION_MODES: Final = frozenset({POSITION_MODE, EXTENDED_POSITION_MODE, CURRENT_BASED_POSITION_MODE})
_PROFILE: Final = frozenset({"profile_acceleration", "profile_velocity"})
_GAINS: Final = (
    "velocity_i_gain", "velocity_p_gain", "position_d_gain", "position_i_gain", "position_p_gain",
    "feedforward_2nd_gain", "feedforward_1st_gain",
)  # fmt: skip
_HOMING_RANGE: Final = 1024
"""In position mode a homing offset beyond this is ignored (e-Manual, Homing Offset)."""
_WATCHDOG_UNIT: Final = 0.02
_IN_POSITION: Final = 10
"""[ticks] from the goal that count as arrived; "a predefined value" in the e-Manual."""
_FOLLOWING_ERROR: Final = 200
"""[ticks] behind the trajectory that count as not following; an assumption, no source."""
_CURRENT_UNIT: Final = 0.001
_FEEDBACK: Final = struct.Struct("<HBBhhiiiiHB")
"""realtime_tick to present_temperature, addresses 120 to 146."""
_FEEDBACK_ADDRESS: Final = 120
_REGISTERED_ADDRESS: Final = 69
"""registered_instruction, with hardware_error_status behind it."""
_TRIPS: Final = {
    "voltage": VOLTAGE_ERROR, "overheat": OVERHEAT_ERROR, "shock": SHOCK_ERROR, "overload": OVERLOAD_ERROR,
}  # fmt: skip


class DynamixelServo(EmulatedServo):
    """An XL330 or XL430 on its shaft."""

    boot_time = 0.25
    """[s]; not published. A field report has servos rebooted, set up and under torque again within 0.3 s."""
    baud_rates = BAUD_RATES

    def __init__(self, name: str, table: ControlTable, shaft: Shaft, position_gain: float, timestep: float) -> None:
        super().__init__(name, table, shaft, position_gain, timestep)
        self._measures_current = "goal_current" in table
        self._indirect = IndirectMap(table)
        self._access = AccessRules(table, self._get)
        self._control_loops = Controllers(self._profile, self._duty_per_tick, timestep)
        self._protection = DynamixelProtection(timestep)
        self._mode = POSITION_MODE
        self._torque = False
        self._direction = 1
        self._offset = 0
        self._turn_base = 0
        self._goal_velocity = self._goal_current = self._goal_duty = 0.0
        self._load = 0.0
        self._periods = 0
        self._watchdog_periods = self._quiet_periods = 0
        self._watchdog_tripped = False
        self.power_on()

    @property
    def return_delay(self) -> float:
        """What the servo waits before it answers by its own setting, in units of 2 µs [s]."""
        return self.memory[self.table["return_delay_time"].address] * 2e-6

    @property
    def status_return_level(self) -> int:
        """0: answers pings only, 1: pings and reads, 2: everything."""
        return self._get("status_return_level")

    @property
    def alert(self) -> int:
        """The alert bit of its answers."""
        return ALERT_BIT if self._protection.errors else 0

    def on_instruction(self) -> None:
        """Any instruction on the bus keeps the watchdog quiet."""
        self._quiet_periods = 0

    @property
    def identity(self) -> bytes:
        """What it answers a ping with: model number and firmware version."""
        return bytes(self.memory[0:2] + self.memory[6:7])

    @property
    def at_rest(self) -> bool:
        """Whether the shaft does not turn."""
        return abs(self._velocity) <= self._get("moving_threshold") * VELOCITY_UNIT

    def readable(self, address: int, size: int) -> bool:
        """Whether all of these bytes exist."""
        return address + size <= self.table.size

    def read(self, address: int, size: int) -> bytes:
        """Memory with measurements brought up to date and indirect data followed to where they point."""
        self._refresh()
        data = bytearray(self.memory[address : address + size])
        for place in self._indirect.places(address, size):
            data[place - address] = self.memory[self._indirect.target(self.memory, place)]
        return bytes(data)

    def write(self, address: int, data: bytes) -> int:
        """Write all of `data` or, when any of it is refused, nothing; returns the result code."""
        names: list[str] = []
        runs = self._indirect.resolve(self.memory, address, data)
        situation = Situation(self._torque, self._watchdog_tripped, self._protection.shut_down)
        for start, run in runs:
            error = self._access.refusal(self._touched(start, len(run)), start, run, situation)
            if error != ResultCode.OK:
                return error
        for start, run in runs:
            for register in self._touched(start, len(run)):
                place = slice(register.address, register.address + register.size)
                value = run[register.address - start : register.address - start + register.size]
                names += self._commit(register, place, value)
        self._act_on(names)
        return ResultCode.OK

    def factory_reset(self, mode: ResetMode) -> None:
        """Bring EEPROM back to factory values and restart."""
        kept = {ResetMode.ALL: (), ResetMode.ALL_BUT_ID: ("id",), ResetMode.ALL_BUT_ID_AND_BAUD: ("id", "baud_rate")}
        keep = kept[mode]
        for register in self.table:
            if register.eeprom and register.name not in keep:
                self._eeprom[register.address : register.address + register.size] = register.encode(register.default)
        self.eeprom_dirty = True
        self.reboot()

    def clear_turns(self) -> None:
        """Bring the present position back into one turn."""
        self._reset_turns()
        self._seed_goal()

    def trip(self, fault: str) -> None:
        """Set a protection off by hand."""
        self._protection.errors |= _TRIPS[fault]

    # -- writing --------------------------------------------------------------------------------------------------

    def _touched(self, address: int, size: int) -> list[Register]:
        found: list[Register] = []
        for register in self._registers_at[address : address + size]:
            if register is not None and (not found or found[-1] is not register):
                found.append(register)
        return found

    def _commit(self, register: Register, place: slice, value: bytes) -> list[str]:
        """Store a value; the names of what has changed, with the goals even when they are the same again."""
        changed = self.memory[place] != value
        self.memory[place] = value
        if register.eeprom and changed:
            self._eeprom[place] = value
            self.eeprom_dirty = True
        return [register.name] if changed or register.name in GOALS else []

    def _act_on(self, names: list[str]) -> None:
        touched = set(names)
        if not touched:
            return
        if "operating_mode" in touched:
            self._change_mode()
        goals = touched & GOALS
        if goals and not self._torque and self._get("drive_mode") & _TORQUE_ON_BY_GOAL:
            self._switch_torque(on=not self._protection.shut_down, seed=False)
        if "torque_enable" in touched:
            self._switch_torque(on=self._get("torque_enable") != 0, seed=True)
        if touched - goals - _PROFILE:
            self._configure()
        if touched & _PROFILE or goals:
            self._take_goals(new_position="goal_position" in goals)

    def _change_mode(self) -> None:
        """Gains, profile and goals go back to their defaults; goal PWM and current are open, or 0 where they drive."""
        for name in (*_GAINS, *_PROFILE):
            self._put(name, self.table[name].default)
        self._mode = self._get("operating_mode")
        self._put("goal_velocity", 0)
        self._put("goal_pwm", 0 if self._mode == PWM_MODE else self._get("pwm_limit"))
        if self._measures_current:
            self._put("goal_current", 0 if self._mode == CURRENT_MODE else self._get("current_limit"))
        if self._mode == POSITION_MODE:
            self._reset_turns()
        self._configure()
        self._seed_goal()

    def _switch_torque(self, *, on: bool, seed: bool) -> None:
        if on and not self._torque:
            if self._mode == POSITION_MODE:
                self._reset_turns()
            if seed:
                self._seed_goal()
            else:
                self._control_loops.reset(float(self._position()))
            self._quiet_periods = 0
        self._torque = on
        self._put("torque_enable", int(on))

    def _seed_goal(self) -> None:
        """The goal becomes the present position, and nothing of the past is left in the controllers."""
        position = self._position()
        self._put("goal_position", position)
        self._put("goal_velocity", 0)
        self._control_loops.reset(float(position))
        self._take_goals(new_position=False)

    def _take_goals(self, *, new_position: bool) -> None:
        get = self._get
        profile = self._profile
        if new_position:
            profile.aim(float(get("goal_position")))
        velocity, acceleration = get("profile_velocity"), get("profile_acceleration")
        if get("drive_mode") & _TIME_BASED:
            total, ramp = velocity * 0.001, min(acceleration, velocity // 2) * 0.001
            distance = abs(profile.last_goal - profile.position)
            profile.velocity_limit = distance / (total - ramp) if total else UNLIMITED
            profile.acceleration_limit = profile.velocity_limit / ramp if total and ramp and distance else UNLIMITED
        else:
            profile.velocity_limit = velocity * VELOCITY_UNIT if velocity else UNLIMITED
            profile.acceleration_limit = acceleration * ACCELERATION_UNIT if acceleration else UNLIMITED
        self._goal_velocity = get("goal_velocity") * VELOCITY_UNIT
        self._goal_duty = get("goal_pwm") / FULL_PWM
        loops = self._control_loops
        limit = get("pwm_limit") / FULL_PWM
        loops.duty_limit = limit if self._mode == PWM_MODE else min(abs(self._goal_duty), limit)
        if self._measures_current:
            self._goal_current = get("goal_current") * _CURRENT_UNIT
            loops.current_limit = abs(self._goal_current)

    def _configure(self) -> None:
        get = self._get
        self._mode = get("operating_mode")
        self._direction = -1 if get("drive_mode") & _REVERSE else 1
        offset = get("homing_offset")
        self._offset = 0 if self._mode == POSITION_MODE and abs(offset) > _HOMING_RANGE else offset
        self._control_loops.gains = Gains(
            position_p=get("position_p_gain"),
            position_i=get("position_i_gain"),
            position_d=get("position_d_gain"),
            velocity_p=get("velocity_p_gain"),
            velocity_i=get("velocity_i_gain"),
        )
        protection = self._protection
        protection.temperature_limit = get("temperature_limit")
        protection.lowest_voltage, protection.highest_voltage = get("min_voltage_limit"), get("max_voltage_limit")
        protection.shutdown = get("shutdown")
        watchdog = get("bus_watchdog")
        self._watchdog_tripped = watchdog < 0
        self._watchdog_periods = round(watchdog * _WATCHDOG_UNIT / self._timestep) if watchdog > 0 else 0
        self._take_goals(new_position=False)

    def _on_power_up(self) -> None:
        self._protection.reset()
        self._torque = self._watchdog_tripped = False
        self._periods = self._quiet_periods = 0
        self._load = 0.0
        self._put("goal_pwm", self._get("pwm_limit"))
        if self._measures_current:
            self._put("goal_current", self._get("current_limit"))
        self._mode = self._get("operating_mode")
        if self._mode == PWM_MODE:
            self._put("goal_pwm", 0)
        if self._mode == CURRENT_MODE:
            self._put("goal_current", 0)
        self._configure()
        self._reset_turns()
        self._seed_goal()
        if self._get("startup_configuration") & 0x01:
            self._switch_torque(on=True, seed=True)

    # -- one period -----------------------------------------------------------------------------------------------

    def _turned(self) -> int:
        return math.floor(self._direction * self._raw + 0.5)

    def _reset_turns(self) -> None:
        self._turn_base = self._turned() // TICKS_PER_REVOLUTION * TICKS_PER_REVOLUTION

    def _position(self) -> int:
        return self._turned() - self._turn_base + self._offset

    def _control(self) -> float:
        self._periods += 1
        loops, protection = self._control_loops, self._protection
        protection.step(self._load, loops.duty_limit, self._velocity, self._temperature, self._voltage)
        if self._torque and protection.shut_down:
            self._switch_torque(on=False, seed=False)
        if not self._torque:
            self.bridge = int(Bridge.OPEN)
            self._load = 0.0
            return 0.0
        self.bridge = int(Bridge.DRIVEN)
        self._watch()
        self._load = duty = self._duty()
        return self._direction * duty

    def _watch(self) -> None:
        """The bus watchdog: too long a silence stops the servo where it is."""
        self._quiet_periods += 1
        if self._watchdog_periods and self._quiet_periods > self._watchdog_periods:
            self._put("bus_watchdog", -1)
            self._watchdog_tripped = True
            self._watchdog_periods = 0
            self._seed_goal()
            if self._mode == PWM_MODE:
                self._put("goal_pwm", 0)
            if self._mode == CURRENT_MODE:
                self._put("goal_current", 0)
            self._take_goals(new_position=False)

    def _duty(self) -> float:
        loops, mode = self._control_loops, self._mode
        velocity = self._direction * self._velocity
        if mode == CURRENT_BASED_POSITION_MODE:
            return loops.limited_position_duty(self._position(), velocity, self._current)
        if mode in _POSITION_MODES:
            return loops.position_duty(self._position(), velocity)
        if mode == VELOCITY_MODE:
            return loops.velocity_duty(self._goal_velocity, velocity)
        if mode == CURRENT_MODE:
            return loops.current_duty(self._goal_current, self._direction * self._current)
        return min(max(self._goal_duty, -loops.duty_limit), loops.duty_limit)

    def _refresh(self) -> None:
        loops = self._control_loops
        position = self._position()
        velocity = round(self._direction * self._velocity / VELOCITY_UNIT)
        current = self._direction * self._current / _CURRENT_UNIT
        effort = current if self._measures_current else self._load * 1000.0
        profile = self._profile
        trajectory = profile.velocity if self._mode in _POSITION_MODES else loops.velocity_setpoint
        _FEEDBACK.pack_into(
            self.memory,
            _FEEDBACK_ADDRESS,
            int(self._periods * self._timestep * 1000.0) & 0x7FFF,
            int(profile.moving or abs(velocity) > self._get("moving_threshold")),
            self._moving_status(position),
            round(self._load * FULL_PWM),
            min(max(round(effort), -0x8000), 0x7FFF),
            velocity,
            position,
            round(trajectory / VELOCITY_UNIT),
            round(profile.position),
            round(self._voltage * 10.0),
            round(min(max(self._temperature, 0.0), 255.0)),
        )
        self.memory[_REGISTERED_ADDRESS] = self.has_registered_write
        self.memory[_REGISTERED_ADDRESS + 1] = self._protection.errors

    def _moving_status(self, position: int) -> int:
        if self._mode not in _POSITION_MODES:
            return 0
        profile = self._profile
        status = 0
        if abs(self._get("goal_position") - position) <= _IN_POSITION:
            status |= 0x01
        if profile.moving:
            status |= 0x02
        if abs(profile.position - position) > _FOLLOWING_ERROR:
            status |= 0x08
        if profile.velocity_limit != UNLIMITED:
            status |= 0x30 if profile.acceleration_limit != UNLIMITED else 0x10
        return status
