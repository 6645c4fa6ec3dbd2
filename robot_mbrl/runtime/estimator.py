"""Joint velocities from time-stamped, quantised positions."""

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS, to_ns
from robot_mbrl.contracts.types import FloatArray

WINDOW = 0.025
"""Span of the positions that a velocity is fitted to [s]: three samples at 100 Hz, jitter included.

The fit lags by half of what it spans, 10 to 12.5 ms. Encoder steps of 1/4096 turn leave a noise (RMS) of 0.031 rad/s at
100 Hz, 0.024 at 200 Hz and 0.011 at 1 kHz, where differences of two positions have 0.064, 0.13 and 0.67; the tests hold
these figures. The rest band of 0.05 rad/s lies above them.
"""


class VelocityEstimator:
    """The slope of the least-squares line through the positions of the last `window` seconds, joint by joint.

        v = Σ (tᵢ - t̄)(qᵢ - q̄) / Σ (tᵢ - t̄)²

    The time stamps are used as they are, so that irregular samples cost nothing. Fitting over a time, not over a number
    of samples, keeps the lag about the same at every rate. Exact on a constant velocity. Allocates its samples once.
    """

    def __init__(self, n: int, window: float = WINDOW, capacity: int = 64) -> None:
        """Estimate for `n` joints.

        Args:
            n: number of joints.
            window: span of the fit [s]; at least the two newest samples are used when it holds fewer.
            capacity: most samples that are kept.
        """
        self._window_ns = to_ns(window)
        self._capacity = capacity
        # Each sample is kept twice, a capacity apart, so that the newest ones always lie in a row, in order.
        self._stamps = np.zeros(2 * capacity, np.int64)
        self._positions = np.zeros((2 * capacity, n))
        self._velocity = np.zeros(n)
        self._count = 0
        self._next = 0

    def reset(self) -> None:
        """Forget all samples."""
        self._count = self._next = 0
        self._velocity[:] = 0.0

    def update(self, stamp_ns: int, position: FloatArray) -> FloatArray:
        """Take `position` (n,) [rad], measured at `stamp_ns` [ns], and return the velocity (n,) [rad/s].

        0 until there are two samples. A sample no newer than the last one is not taken: the estimate stays.
        """
        if self._count and stamp_ns <= self._stamps[self._next + self._capacity - 1]:
            return self._velocity.copy()
        for place in (self._next, self._next + self._capacity):
            self._stamps[place], self._positions[place] = stamp_ns, position
        self._next = (self._next + 1) % self._capacity
        self._count = min(self._count + 1, self._capacity)
        if self._count >= 2:
            self._fit(stamp_ns)
        return self._velocity.copy()

    def _fit(self, newest_ns: int) -> None:
        end = self._next + self._capacity
        oldest = end - self._count
        begin = oldest + int(self._stamps[oldest:end].searchsorted(newest_ns - self._window_ns))
        # The newest sample before this one counts even when it is older than the window.
        begin = min(begin, end - 2)
        times = (self._stamps[begin:end] - newest_ns) / NANOSECONDS
        times -= times.sum() / len(times)
        # As Σ (tᵢ - t̄) = 0, any fixed position may stand for q̄: with the newest one rest gives 0 without rounding.
        self._velocity = times @ (self._positions[begin:end] - self._positions[end - 1]) / (times @ times)
