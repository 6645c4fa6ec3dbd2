"""How much of everything: no more is promised than the nominal legs can carry."""

import pytest
from pydantic import ValidationError

from robot_mbrl.demo.pace import FAST, Pace


def test_nineteen_legs_carry_a_tenth_for_two_scores_and_no_less() -> None:
    """1/(0.1/2) - 1 = 19."""
    values = FAST.model_dump() | {"alpha": 0.1}
    Pace.model_validate(values | {"nominal": 19})
    with pytest.raises(ValidationError, match="needs 19"):
        Pace.model_validate(values | {"nominal": 18})
