"""The tick's record."""

import numpy as np

from robot_mbrl.contracts.types import FRAME_DTYPE, MAX_JOINTS, empty_frame


def test_an_empty_frame_claims_no_measurement() -> None:
    frame = empty_frame()
    assert frame.shape == (1,)
    assert np.isnan(frame["position"]).all()
    assert np.isnan(frame["disagreement"]).all()
    assert frame["tick"][0] == 0


def test_a_frame_survives_the_way_through_bytes() -> None:
    frame = empty_frame()
    frame["position"][0, :6] = np.arange(6.0)
    frame["read_ns"] = 2**62 + 1
    copy = np.frombuffer(frame.tobytes(), FRAME_DTYPE)
    assert copy.tobytes() == frame.tobytes()
    assert copy["read_ns"][0] == 2**62 + 1


def test_frame_arrays_hold_the_largest_arm() -> None:
    shape = FRAME_DTYPE["executed_position"].shape
    assert shape == (MAX_JOINTS,)
