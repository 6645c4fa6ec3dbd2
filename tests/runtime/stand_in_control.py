"""A stand-in for the control process: drives an arm back and forth and sends frames. Run as a program by tests.

`python stand_in_control.py SESSION STATE ROBOT_JSON`: torque goes on unless STATE is `idle`.
"""

import math
import sys

from robot_mbrl.contracts.clock import NANOSECONDS, MonotonicClock, Ticker
from robot_mbrl.contracts.config import RobotSettings
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, empty
from robot_mbrl.contracts.types import JointCommand
from robot_mbrl.drivers.serial_arm import open_arm
from robot_mbrl.runtime.channels import Session

RATE = 100.0


def main(session_name: str, state: str, settings: str) -> None:
    """Swing the first joint until killed."""
    clock = MonotonicClock()
    robot = open_arm(RobotSettings.model_validate_json(settings), clock)
    robot.connect()
    armed = state != "idle"
    if armed:
        robot.set_torque(enabled=True)
    start = robot.goal_position
    frame = empty(FRAME_DTYPE)
    frame["state"] = ControlState[state.upper()]
    ticker = Ticker(1.0 / RATE, clock)
    began_ns = clock.now_ns()
    with Session(session_name) as session:
        frames = session.publisher("frame")
        while True:
            ticker.wait()
            robot.read()
            if armed:
                time = (clock.now_ns() - began_ns) / NANOSECONDS
                goal = start.copy()
                # Around zero, wherever the arm starts, so that it stays inside its limits.
                goal[0] = start[0] * math.exp(-time) + 0.8 * math.sin(3.0 * time)
                robot.write(JointCommand(goal))
            frame["tick"] += 1
            frames.send(frame)


if __name__ == "__main__":
    main(*sys.argv[1:])
