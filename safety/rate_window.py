"""The share of events among counted trials over the last moments."""

from collections import deque

from robot_mbrl.contracts.clock import to_ns


class RateWindow:
    """Turns two running counts into a share, over the last window and up to a tenth of it more."""

    MIN_TRIALS = 20
    """Fewer trials than this say nothing about a share of a few per cent."""

    _PARTS = 10

    def __init__(self, window: float) -> None:
        self._part_ns = to_ns(window / self._PARTS)
        self._counts: deque[tuple[int, int, int]] = deque(maxlen=self._PARTS + 1)

    def share(self, now_ns: int, events: int, trials: int) -> float:
        """Events per trial since the start of the window, 0 while there were too few trials.

        Args:
            now_ns: present time [ns].
            events: counted so far; a count that falls has started again, and so does the window.
            trials: counted so far.
        """
        counts = self._counts
        if counts and (events < counts[-1][1] or trials < counts[-1][2]):
            counts.clear()
        if not counts or now_ns - counts[-1][0] >= self._part_ns:
            counts.append((now_ns, events, trials))
        _, first_events, first_trials = counts[0]
        if trials - first_trials < self.MIN_TRIALS:
            return 0.0
        return (events - first_events) / (trials - first_trials)
