"""How much of everything there is in a demonstration, and what that allows to promise."""

from typing import Final, Self

from pydantic import Field, model_validator

from robot_mbrl.contracts.config import Settings
from robot_mbrl.learning.monitor_calibration import SCORES
from robot_mbrl.safety.conformal import episodes_needed


class Pace(Settings):
    """Times and numbers.

    Attributes:
        exploring: of smooth random motion [s]: what both models are fitted to.
        tries: legs after that, by each policy in turn; the planner has the model that was trained on the twin.
        nominal: legs that the thresholds of doubt are taken from.
        alpha: rate of nominal legs that doubt may stop, both scores together.
        targets: that each policy is to reach.
        dwell: time for each of them, and so the length of a nominal leg [s].
        patience: how long a disturbance lasts that has no end of its own, and is waited for [s].
    """

    exploring: float = Field(gt=0.0)
    tries: int = Field(ge=1)
    nominal: int = Field(ge=1)
    alpha: float = Field(gt=0.0, lt=1.0)
    targets: int = Field(ge=1)
    dwell: float = Field(gt=0.0)
    patience: float = Field(gt=0.0)

    @model_validator(mode="after")
    def _the_promise_can_be_kept(self) -> Self:
        needed = episodes_needed(self.alpha / len(SCORES))
        if self.nominal < needed:
            raise ValueError(f"nominal = {self.nominal}: alpha = {self.alpha} needs {needed} or more")
        return self


FULL: Final = Pace(exploring=60.0, tries=14, nominal=40, alpha=0.05, targets=10, dwell=2.5, patience=6.0)
"""What `robot-mbrl demo` shows."""
FAST: Final = Pace(exploring=18.0, tries=8, nominal=19, alpha=0.1, targets=5, dwell=1.5, patience=4.0)
"""What `robot-mbrl demo --fast` shows."""
