"""The `Frame`: one fixed-size record a tick, and the small records that the processes of an arm send each other.

The control loop fills a frame each tick, the channels carry it, the flight log stores it, the monitor judges it, and
datasets are made from it. Whatever the monitor looks at is in the frame, so that a logged frame gives the same verdict
again, bit for bit. Floats that were not measured are NaN, time stamps that never were are -1.

Joint arrays have `MAX_JOINTS` places, of which the first `joints` are used.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.types import MAX_JOINTS

Record = NDArray[np.void]
"""A structured array of shape (1,), so that fields can be assigned in place."""


class ControlState(IntEnum):
    """Where the control process stands; `safety.state_machine` has the table."""

    IDLE = 0
    """Connected, not commanding; torque as it was found."""
    ARMED = 1
    """Torque on, holding the goals that were seeded; ready to run."""
    RUNNING = 2
    """Executing the policy's actions."""
    SLOWED = 3
    """Executing them at a reduced speed, by the monitor's word."""
    HOLDING = 4
    """Holding the last goal by the monitor's word; goes on when the cause is gone. A person's hold is ARMED."""
    STOPPED = 5
    """Stopped under control and latched: only a person's reset leads out."""
    FAULT = 6
    """Latched, and the arm's own state is in doubt: reset needs the cause gone and the arm checked."""
    PARKING = 7
    """Brought to rest, then moving slowly to the park pose."""


class StopCause(IntEnum):
    """Who asked for a stop, beside the monitor."""

    NONE = 0
    OPERATOR = 1
    EMERGENCY = 2
    SIGNAL = 3
    EXCEPTION = 5


class Request(IntEnum):
    """What a person, the console or another process may ask of the control process; the last two of the policy's."""

    HEARTBEAT = 0
    ARM = 1
    RUN = 2
    HOLD = 3
    STOP = 4
    EMERGENCY_STOP = 5
    RESET = 6
    PARK = 7
    RELEASE = 8
    QUIT = 9
    USE_POLICY = 10
    """Let the deployment's own policy act; granted while the arm is held."""
    USE_STANDBY = 11
    """Let the policy act that stands by; granted while the arm is held."""


_JOINTS = (MAX_JOINTS,)

FRAME_DTYPE = np.dtype(
    [
        # When: all stamps are ns of CLOCK_MONOTONIC.
        ("tick", np.int64),
        ("deadline_ns", np.int64),  # when the tick was due
        ("wake_ns", np.int64),  # when it began
        ("stamp_ns", np.int64),  # when the state was measured
        ("write_ns", np.int64),  # when the command had been handed over
        ("missed_ticks", np.int64),  # whole ticks skipped since the start
        # Where the loop stands and what the monitor said. The monitor reads nothing that is written after it spoke:
        # neither its verdict nor the executed position nor write_ns.
        ("joints", np.int32),
        ("state", np.int32),  # when the tick began: what the verdict leads to shows in the next frame
        ("stop_cause", np.int32),
        ("verdict", np.int32),
        ("reason", np.int32),  # index into the monitor's check names, -1 for none
        ("reason_joint", np.int32),  # joint that the reason is about, -1 for none
        ("value", np.float64),
        ("limit", np.float64),
        ("speed_scale", np.float64),
        # What the policy knows of itself, and what the model beside it says: where there is no such model, the policy's
        # own disagreement is the one that is judged.
        ("action_ns", np.int64),  # when the action was made, -1 before the first
        ("action_expires_ns", np.int64),
        ("policy_disagreement", np.float64),
        ("disagreement", np.float64),
        ("residual", np.float64),
        # The bus, counted since it was opened, and the operator's heartbeat (-1 when none is asked for).
        ("transactions", np.int64),
        ("corrupt", np.int64),
        ("timeouts", np.int64),
        ("heartbeat_ns", np.int64),
        # The joints, measured.
        ("position", np.float64, _JOINTS),
        ("reported_velocity", np.float64, _JOINTS),  # by the servos
        ("velocity", np.float64, _JOINTS),  # estimated from time-stamped positions
        ("load", np.float64, _JOINTS),
        ("current", np.float64, _JOINTS),
        ("temperature", np.float64, _JOINTS),
        ("voltage", np.float64, _JOINTS),
        ("hardware_error", np.int32, _JOINTS),
        ("health_ns", np.int64, _JOINTS),
        # The joints, commanded.
        ("goal_position", np.float64, _JOINTS),  # held by the servos when the state was measured: the last one executed
        ("action_position", np.float64, _JOINTS),  # the policy's newest goal
        ("requested_position", np.float64, _JOINTS),  # interpolated to this tick
        ("executed_position", np.float64, _JOINTS),  # what went to the servos
    ],
    align=True,
)
"""See the comments above for each field."""

ACTION_DTYPE = np.dtype(
    [
        ("sequence", np.int64),
        ("stamp_ns", np.int64),
        ("expires_ns", np.int64),
        ("disagreement", np.float64),
        ("position", np.float64, _JOINTS),
    ],
    align=True,
)
"""A policy's action on its way to the control process."""

MAX_PLAN_STEPS = 32
"""Steps that fit in a plan's record; what lies further ahead is left out."""

PLAN_DTYPE = np.dtype(
    [
        ("sequence", np.int64),  # of the action that is its first step
        ("stamp_ns", np.int64),  # of the state that it was made from
        ("begins_ns", np.int64),  # when its first step takes effect
        ("expires_ns", np.int64),  # of that action
        ("period_ns", np.int64),
        ("steps", np.int32),
        ("joints", np.int32),
        ("disagreement", np.float64, (MAX_PLAN_STEPS,)),
        ("goal_position", np.float64, (MAX_PLAN_STEPS, MAX_JOINTS)),
        ("predicted_position", np.float64, (MAX_PLAN_STEPS, MAX_JOINTS)),  # at the end of each step
    ],
    align=True,
)
"""What a planning policy means to do, for whoever looks on; the control process executes actions alone."""

REQUEST_DTYPE = np.dtype(
    [
        ("stamp_ns", np.int64),  # when it was said
        ("asked_ns", np.int64),  # when it was said first, before all repetitions; -1: this is the first time
        ("request", np.int32),
        ("sender", np.int32),  # process id
    ],
    align=True,
)
"""A `Request` on its way to the control process."""


def empty(dtype: np.dtype[np.void]) -> Record:
    """One record of `dtype`, shape (1,): floats NaN, time stamps -1, other numbers 0."""
    record = np.zeros(1, dtype)
    for name in dtype.names or ():
        if np.issubdtype(record[name].dtype, np.floating):
            record[name] = np.nan
        elif name.endswith("_ns"):
            record[name] = -1
    return record
