"""The emulated arm of the demonstration, from unpowered servos to a first pose: what a real arm goes through as well.

The driver, the search, the calibration and the checks are those of `scan`, `calibrate joints`, `doctor` and `move`;
only the arm behind the serial port is emulated, and the hand that moves it for its calibration.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from robot_mbrl.commissioning.arm_report import check_arm
from robot_mbrl.commissioning.check import Status
from robot_mbrl.commissioning.emulated_hand import ControlledArm, EmulatedHand
from robot_mbrl.commissioning.joint_calibration import JointCalibrator
from robot_mbrl.commissioning.joint_move import move_joints
from robot_mbrl.commissioning.servo_search import UNHURRIED, search
from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.config import RobotSettings
from robot_mbrl.contracts.errors import NotReady, ServoMissing, SimulationError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.demo.screen import Screen
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.drivers.bus import open_bus
from robot_mbrl.drivers.calibration import nominal_calibration
from robot_mbrl.drivers.serial_arm import open_arm
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess
from robot_mbrl.sim.truth import ArmTruth, save_truth

ARM_PRIORITY: Final = 50
"""Of SCHED_FIFO, of the emulated arm where the machine grants it: a real arm waits for no processor."""
READY: Final = {"shoulder_lift": -0.6, "elbow_flex": 0.6, "wrist_flex": 0.4}
"""Where the arm stands clear of the table and of itself [rad]; joints that are not named go to 0."""
SPEED: Final = 1.2
"""On the way there [rad/s]."""
SAG: Final = 0.15
"""A parked arm that sags more than this when its torque goes off was not parked [rad]."""


@contextmanager
def emulated_arm(truth: ArmTruth, truth_file: Path, link: Path) -> Iterator[VirtualArmProcess]:
    """An arm that is as `truth` says, which goes to `truth_file`, as a process behind the serial port `link`.

    Raises:
        SimulationError: it did not start.
    """
    save_truth(truth_file, truth)
    with VirtualArmProcess(truth.arm, link=link, truth=truth_file, priority=ARM_PRIORITY) as process:
        # The control process takes the last core for itself.
        os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(process.pid))})
        yield process


def scan(arm: ArmDefinition, port: str, clock: Clock, screen: Screen) -> None:
    """Find the servos on the bus.

    Raises:
        ServoMissing: not all of them answer as they should.
    """
    ids = [joint.id for joint in arm.joints]
    found = search(port, [(arm.protocol, arm.baud)], ids, clock, UNHURRIED)
    troubled = [servo.problem for servo in found if servo.problem]
    if len(found) != len(ids) or troubled:
        raise ServoMissing(f"{len(found)} of {len(ids)} emulated servos answer {troubled}: report this as a bug")
    models = sorted({f"{servo.model} (firmware {servo.firmware})" for servo in found})
    screen.tell(f"scan: IDs {ids[0]} to {ids[-1]} answer, all {', '.join(models)}, torque off")


def calibrate(arm: ArmDefinition, process: VirtualArmProcess, path: Path, clock: Clock, screen: Screen) -> None:
    """Calibrate the joints into the file `path`, with an emulated hand at the limp arm."""
    bus = open_bus(process.port, arm.protocol, arm.baud, clock, UNHURRIED)
    try:
        hand = EmulatedHand(arm, ControlledArm(process.control), clock, screen.tell)
        calibrator = JointCalibrator(arm, bus, hand, path)
        calibrator.prepare()
        found = calibrator.record()
    finally:
        bus.close()
    drawn = nominal_calibration(arm)
    off = {
        name: joint.zero_tick + joint.homing_offset - drawn.joints[name].zero_tick
        for name, joint in found.joints.items()
    }
    screen.tell("calibrated: zeros " + ", ".join(f"{name} {ticks:+d}" for name, ticks in off.items()) + " ticks off")


def check(arm: ArmDefinition, port: str, calibration: Path, clock: Clock, screen: Screen) -> None:
    """Go through all checks of `robot-mbrl doctor --port`.

    Raises:
        NotReady: one failed.
    """
    checks = list(check_arm(arm, port, calibration, clock))
    failed = [f"{found.name}: {found.detail}" for found in checks if found.status is Status.FAIL]
    if failed:
        raise NotReady(f"{'; '.join(failed)}: report this as a bug")
    screen.tell(f"checked: {len(checks)} of {len(checks)} checks of `robot-mbrl doctor` passed")


def rise(arm: ArmDefinition, settings: RobotSettings, clock: Clock, screen: Screen) -> FloatArray:
    """Switch the torque on and move to the pose `READY`, where the arm then holds; returns that pose (n,) [rad].

    Raises:
        NotReady: the arm did not get there.
    """
    goals = {joint.name: READY.get(joint.name, 0.0) for joint in arm.joints}
    robot = open_arm(settings, clock)
    try:
        robot.connect()
        robot.set_torque(enabled=True)
        # The shoulder first: that lifts the arm off whatever it lies on.
        for part in ({"shoulder_lift": goals["shoulder_lift"]}, goals):
            report = move_joints(robot, arm, part, SPEED, clock)
    finally:
        robot.close()
    if not report.settled:
        raise NotReady(f"{arm.name} did not come to rest in its first pose: look at it")
    error = float(np.abs(report.end - report.goal).max())
    screen.tell(f"first pose reached in {report.duration:.1f} s, {error:.3f} rad off at most under its own weight")
    return report.goal


def check_parked(arm: ArmDefinition, process: VirtualArmProcess, screen: Screen) -> None:
    """See that the arm lies in its park pose, without torque.

    Raises:
        SimulationError: it has torque, or lies elsewhere.
    """
    truth = process.control.truth()
    parked = np.array([joint.park_position for joint in arm.joints])
    away = float(np.abs(truth.position - parked).max())
    if truth.torque.any() or away > SAG:
        raise SimulationError(f"{arm.name}: {away:.2f} rad from its park pose, torque {truth.torque.tolist()}")
    screen.tell(f"parked, torque off, {away:.3f} rad from the park pose at most")
