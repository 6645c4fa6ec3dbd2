"""What there is to see without hardware: an emulated arm, found, calibrated, moved and parked over its serial port."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from robot_mbrl.commissioning.emulated_hand import ControlledArm, EmulatedHand
from robot_mbrl.commissioning.joint_calibration import JointCalibrator
from robot_mbrl.commissioning.joint_move import move_joints
from robot_mbrl.commissioning.servo_search import UNHURRIED, search
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.config import RobotSettings
from robot_mbrl.contracts.errors import ServoMissing, SimulationError
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.drivers.bus import open_bus
from robot_mbrl.drivers.calibration import nominal_calibration
from robot_mbrl.drivers.serial_arm import SerialArm, open_arm
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess

ARM: Final = "so101_follower"
SEED: Final = 7
"""Draws one particular arm: frictions, gains and horns that are mounted a little off the drawing."""
MOVES: Final[tuple[dict[str, float], ...]] = ({"shoulder_lift": -0.8}, {"shoulder_pan": 0.6}, {"shoulder_pan": 0.0})
SPEED: Final = 1.2
"""[rad/s]."""
PARK_TOLERANCE: Final = 0.15
"""A parked arm that sags more than this when its torque goes off was not parked [rad]."""

Tell = Callable[[str], None]


def run_demo(tell: Tell) -> None:
    """Run the whole show in a folder of its own, which is gone afterwards.

    Args:
        tell: gets one line for each thing that happened.

    Raises:
        RobotMbrlError: something did not work as it should.
    """
    definition = load_arm(ARM)
    with tempfile.TemporaryDirectory(prefix="robot-mbrl-demo-") as folder:
        link, calibration = Path(folder) / "port", Path(folder) / "calibration.yaml"
        with VirtualArmProcess(ARM, link=link, seed=SEED) as process:
            tell(f"1. an emulated {ARM} runs as a process of its own behind the serial port {link}")
            _scan(definition, process, tell)
            _calibrate(definition, process, calibration, tell)
            _move(definition, process, calibration, tell)
        tell("5. the emulated arm has ended, its port and files are gone")


def _scan(definition: ArmDefinition, process: VirtualArmProcess, tell: Tell) -> None:
    ids = [joint.id for joint in definition.joints]
    found = search(process.port, [(definition.protocol, definition.baud)], ids, MonotonicClock(), UNHURRIED)
    troubled = [servo.problem for servo in found if servo.problem]
    if len(found) != len(ids) or troubled:
        raise ServoMissing(f"{len(found)} of {len(ids)} emulated servos answer {troubled}: report this as a bug")
    models = sorted({f"{servo.model} (firmware {servo.firmware})" for servo in found})
    tell(f"2. scan: IDs {ids[0]} to {ids[-1]} answer, all {', '.join(models)}, torque off")


def _calibrate(definition: ArmDefinition, process: VirtualArmProcess, path: Path, tell: Tell) -> None:
    clock = MonotonicClock()
    bus = open_bus(process.port, definition.protocol, definition.baud, clock, UNHURRIED)
    try:
        tell("3. calibration: an emulated hand moves the limp arm, the procedure only sees the serial port")
        hand = EmulatedHand(definition, ControlledArm(process.control), clock, lambda line: tell(f"   {line}"))
        calibrator = JointCalibrator(definition, bus, hand, path)
        calibrator.prepare()
        found = calibrator.record()
    finally:
        bus.close()
    drawn = nominal_calibration(definition)
    for name, joint in found.joints.items():
        off = joint.zero_tick + joint.homing_offset - drawn.joints[name].zero_tick
        tell(f"   {name}: zero {off:+d} ticks from the drawing, range {joint.range_max - joint.range_min} ticks")


def _move(definition: ArmDefinition, process: VirtualArmProcess, calibration: Path, tell: Tell) -> None:
    clock = MonotonicClock()
    settings = RobotSettings(arm=ARM, port=process.port, calibration=calibration, bus=UNHURRIED, watchdog=0.0)
    robot = open_arm(settings, clock)
    try:
        robot.connect()
        error = np.abs(robot.read().position - process.control.truth().position).max()
        tell(f"4. connected: the driver's angles agree with the physics to {error:.3f} rad; torque goes on")
        robot.set_torque(enabled=True)
        for goals in MOVES:
            report = move_joints(robot, definition, goals, SPEED, clock)
            for name, goal in goals.items():
                end = report.end[definition.joint_names.index(name)]
                tell(f"   {name} was sent to {goal:+.2f} rad and rests at {end:+.3f} rad after {report.duration:.1f} s")
        _park(definition, robot, process, tell)
        _report(robot, tell)
    finally:
        robot.close()


def _park(definition: ArmDefinition, robot: SerialArm, process: VirtualArmProcess, tell: Tell) -> None:
    clock = MonotonicClock()
    report = move_joints(robot, definition, {j.name: j.park_position for j in definition.joints}, SPEED, clock)
    robot.set_torque(enabled=False)
    clock.sleep_until_ns(clock.now_ns() + 500_000_000)
    sag = np.abs(process.control.truth().position - report.end).max()
    if sag > PARK_TOLERANCE:
        raise SimulationError(f"{ARM}: sagged by {sag:.2f} rad when its torque went off in the park position")
    tell(f"   parked, torque off, sagged by {sag:.3f} rad")


def _report(robot: SerialArm, tell: Tell) -> None:
    statistics = robot.bus.statistics
    tell(
        f"   {statistics.transactions} bus transactions, {statistics.retries} retries, {statistics.failures} failures, "
        f"median {statistics.quantile(0.5) * 1e3:.1f} ms"
    )
