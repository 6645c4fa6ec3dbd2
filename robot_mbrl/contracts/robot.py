"""The `Robot` protocol: what the real arm, the emulated arms and the twin have in common.

`tests/conformance/` is this page as an executable suite; any implementation can run it.
"""

from typing import Protocol

from robot_mbrl.contracts.types import FloatArray, Health, JointCommand, JointState, StopCategory


class Robot(Protocol):
    """An arm. Joints are in the order of `joint_names`; see `types` for units.

    The life of a robot: `connect`, `set_torque(enabled=True)`, then `read` and `write` in turn, `stop`, `close`.
    """

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the n joints."""
        ...

    @property
    def has_torque(self) -> bool:
        """Whether all joints had torque when that was last looked at or changed."""
        ...

    @property
    def goal_position(self) -> FloatArray:
        """(n,) the goals that the servos hold [rad], as found or seeded by `connect` or as last written; a copy.

        What was written comes back to the last bit, not as the servos round it: who asks how fast goals move takes
        differences of it.
        """
        ...

    def connect(self) -> None:
        """Find, check and prepare the servos. Never moves the arm, and leaves the torque as it was.

        Where a servo's torque is off, its goal is set to its present position. Where the torque is on, the goal
        that it holds stays: under gravity the two differ, and replacing one by the other is a dip.

        Raises:
            PortError: the port cannot be opened.
            BusError: a servo is missing, doubled, of another model or firmware.
            CalibrationError: the calibration is missing or stale.
            ServoFault: a servo reports a hardware error.
        """
        ...

    def set_torque(self, *, enabled: bool) -> None:
        """Switch the torque of all joints. Goals are the present positions when it goes on.

        Torque-off reaches every servo that hears, whatever is wrong with the others; those are named afterwards.

        Raises:
            NotReady: not connected, or torque was asked for while stopped.
            LimitViolation: a joint rests where torque would move it; nothing was switched.
            BusError: a servo did not do as it was told, or cannot be asked; all such are named.
        """
        ...

    def read(self) -> JointState:
        """Return the newest joint state, measured after the call began.

        Raises:
            BusTimeout: no complete answer within the deadline that the bus states.
            NotReady: the robot is not connected.
        """
        ...

    def health(self) -> Health:
        """Return what the slow rota last read: temperature, voltage, current, hardware errors. Costs no bus time."""
        ...

    def write(self, command: JointCommand) -> None:
        """Send goal positions.

        Raises:
            NonFiniteCommand: a goal is NaN or infinite; nothing was sent.
            LimitViolation: a goal lies outside its joint's limits or has the wrong shape; nothing was sent.
            NotReady: not connected, torque off, or stopped and not reset.
        """
        ...

    def stop(self, category: StopCategory = StopCategory.HOLD) -> None:
        """Stop: torque off, ramp down and torque off, or ramp down and hold. Latched until `reset`. Idempotent.

        After a ramp the torque goes off once the joints rest (see `contracts.rest`), and not with the goals' rest: they
        trail their goals, and would fly on.
        """
        ...

    def reset(self) -> None:
        """Leave the stopped state, on a person's word. Moves nothing: goals stay as they are."""
        ...

    def close(self) -> None:
        """Give up the port. Leaves goals and torque as they are. Idempotent."""
        ...
