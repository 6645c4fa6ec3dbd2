"""The records that processes send each other."""

import numpy as np
import pytest

from robot_mbrl.contracts.frame import ACTION_DTYPE, FRAME_DTYPE, REQUEST_DTYPE, empty
from robot_mbrl.contracts.types import MAX_JOINTS

DTYPES = (FRAME_DTYPE, ACTION_DTYPE, REQUEST_DTYPE)


def test_an_empty_frame_claims_no_measurement() -> None:
    frame = empty(FRAME_DTYPE)
    assert frame.shape == (1,)
    assert np.isnan(frame["position"]).all()
    assert np.isnan(frame["disagreement"]).all()
    assert frame["stamp_ns"][0] == frame["health_ns"][0, 0] == -1
    assert frame["tick"][0] == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_record_survives_the_way_through_bytes(dtype: np.dtype[np.void]) -> None:
    record = empty(dtype)
    copy = np.frombuffer(record.tobytes(), dtype)
    assert copy.tobytes() == record.tobytes()


def test_time_stamps_keep_their_nanoseconds() -> None:
    frame = empty(FRAME_DTYPE)
    frame["stamp_ns"] = 2**62 + 1
    assert int(np.frombuffer(frame.tobytes(), FRAME_DTYPE)["stamp_ns"][0]) == 2**62 + 1


def test_joint_arrays_hold_the_largest_arm() -> None:
    assert FRAME_DTYPE["executed_position"].shape == (MAX_JOINTS,)
