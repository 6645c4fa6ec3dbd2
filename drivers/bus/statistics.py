"""What the bus counts: transactions, time-outs, corrupt packets, retries, and a histogram of transaction times."""

from dataclasses import dataclass, field

import numpy as np

from robot_mbrl.contracts.types import IntArray

HISTOGRAM_BIN = 50e-6
"""Width of a histogram bin [s]."""
HISTOGRAM_BINS = 1000
"""Bins from 0 to 50 ms; the last one also takes everything longer."""


@dataclass(slots=True)
class ServoStatistics:
    """Counts and last status of one servo.

    Attributes:
        answers: whole answers taken.
        timeouts: answers that did not come by the deadline.
        status: raw status or error byte of the last answer.
        stamp_ns: when that answer arrived [ns], -1 before the first.
    """

    answers: int = 0
    timeouts: int = 0
    status: int = 0
    stamp_ns: int = -1


@dataclass(slots=True)
class BusStatistics:
    """Counts of a whole bus since it was opened.

    Attributes:
        transactions: instructions sent, retries included.
        retries: transactions repeated after a failure.
        failures: transactions given up after the last retry.
        timeouts: answers that did not come by the deadline.
        corrupt: packets with a wrong checksum or CRC.
        garbage: bytes that belong to no packet.
        stale: whole packets that arrived but answered nothing that was asked.
        barriers: transactions inserted to flush a late answer out of the line.
        servos: per servo ID.
        histogram: count of transaction times in bins of `HISTOGRAM_BIN`.
    """

    transactions: int = 0
    retries: int = 0
    failures: int = 0
    timeouts: int = 0
    corrupt: int = 0
    garbage: int = 0
    stale: int = 0
    barriers: int = 0
    servos: dict[int, ServoStatistics] = field(default_factory=dict)
    histogram: IntArray = field(default_factory=lambda: np.zeros(HISTOGRAM_BINS, np.int64))

    def servo(self, servo_id: int) -> ServoStatistics:
        """The statistics of one servo, made at its first use."""
        found = self.servos.get(servo_id)
        if found is None:
            found = self.servos[servo_id] = ServoStatistics()
        return found

    def record_time(self, duration: float) -> None:
        """Count one transaction's `duration` [s]."""
        self.histogram[min(int(duration / HISTOGRAM_BIN), HISTOGRAM_BINS - 1)] += 1

    def quantile(self, q: float) -> float:
        """Upper edge [s] of the bin that holds quantile `q` of the transaction times; NaN before the first."""
        total = int(self.histogram.sum())
        if total == 0:
            return float("nan")
        index = int(np.searchsorted(np.cumsum(self.histogram), q * total))
        return float((index + 1) * HISTOGRAM_BIN)
