"""The kinematic chain against poses worked out by hand; against MuJoCo it is tested where chains are made."""

import math

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.kinematic_chain import Hinge, KinematicChain, ToolPosition
from tests.policies.synthetic_bundles import ARM, NAMES

HALF = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("angles", "tool"),
    [
        ((0.0, 0.0), (0.5, 0.0, 0.1)),
        ((math.pi / 2, 0.0), (0.0, 0.5, 0.1)),
        ((0.0, math.pi / 2), (0.2, 0.0, 0.4)),
        ((math.pi, math.pi / 4), (-0.2 - 0.3 * HALF, 0.0, 0.1 + 0.3 * HALF)),
    ],
)
def test_places_worked_out_by_hand(angles: tuple[float, float], tool: tuple[float, float, float]) -> None:
    assert ToolPosition(ARM, NAMES)(np.array(angles)) == pytest.approx(tool, abs=1e-15)


def test_frames_that_are_turned_against_each_other() -> None:
    """The frame is turned by +90° about x, so that its y axis, about which the hinge turns, is the base's z."""
    hinge = Hinge(joint="pan", position=(1.0, 2.0, 3.0), orientation=(2.0, 2.0, 0.0, 0.0), axis=(0.0, 5.0, 0.0))
    place = ToolPosition(KinematicChain(hinges=(hinge,), tool=(0.5, 0.0, 0.0)), ("other", "pan"))
    assert place(np.array([9.0, 0.0])) == pytest.approx((1.5, 2.0, 3.0))
    assert place(np.array([9.0, math.pi / 2])) == pytest.approx((1.0, 2.5, 3.0))


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"joint": "elbow"}, "hinge 'elbow' is no joint of the arm: give one of pan, lift"),
        ({"axis": (0.0, 0.0, 0.0)}, "axis of hinge 'pan' is"),
        ({"orientation": (0.0, 0.0, 0.0, 0.0)}, "orientation of hinge 'pan' is"),
    ],
)
def test_chains_that_are_none_are_refused(changes: dict[str, object], part: str) -> None:
    hinge = ARM.hinges[0].model_copy(update=changes)
    with pytest.raises(ConfigError, match=part):
        ToolPosition(KinematicChain(hinges=(hinge,), tool=(0.0, 0.0, 0.1)), NAMES)
