"""A wall clock that is set forward while somebody is waiting by it."""

import time


class SteppedClock:
    """Stands in for the `time` module: the second reading of the wall clock, and all later ones, are ahead."""

    def __init__(self, jump: float) -> None:
        """Be ahead by `jump` [s]."""
        self._jump = jump
        self._readings = 0

    def time(self) -> float:
        """Seconds since the epoch, as this clock has it."""
        self._readings += 1
        return time.time() + self._jump * (self._readings > 1)
