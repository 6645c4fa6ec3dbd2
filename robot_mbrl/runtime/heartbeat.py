"""Whether the control process still lives: its frames are its heartbeat."""

from robot_mbrl.contracts.clock import to_ns


class Heartbeat:
    """Counts how long no frame has come, in time that the watcher itself was awake.

    A machine that stands still stops watcher and watched alike. When it goes on, the clock has moved on for both, and
    the frames that are missing are nobody's fault: so one look counts for at most `LONGEST_LOOK` periods, however late
    it came.
    """

    LONGEST_LOOK = 2

    def __init__(self, period: float) -> None:
        """Look every `period` [s]."""
        self._longest_ns = self.LONGEST_LOOK * to_ns(period)
        self._looked_ns: int | None = None
        self.silence_ns = 0
        """How long no frame has come [ns]."""

    def look(self, now_ns: int, *, beat: bool) -> int:
        """Say at `now_ns` [ns] whether a frame has come since the last look; returns the silence so far [ns]."""
        if beat or self._looked_ns is None:
            self.silence_ns = 0
        else:
            self.silence_ns += min(now_ns - self._looked_ns, self._longest_ns)
        self._looked_ns = now_ns
        return self.silence_ns
