"""A child process that records an endless flight as fast as it can, in simulated time, until it is killed.

`python -m tests.data.endless_flight FOLDER COUNTER`: before each batch is handed to the recorder, the number of frames
that have been made stands in the file COUNTER.
"""

import mmap
import struct
import sys
from pathlib import Path

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.data.flight_recorder import FlightRecorder
from robot_mbrl.data.recorder_settings import RecorderSettings
from tests.data.flights import START_NS, flight, header

BATCH = 20


def main(folder: Path, counter: Path) -> None:
    """Record until killed."""
    clock = ManualClock(START_NS)
    recorder = FlightRecorder(folder, RecorderSettings(), header(), clock, print)
    with counter.open("r+b") as file, mmap.mmap(file.fileno(), 8) as made:
        for first in range(0, 10**9, BATCH):
            frames = flight(BATCH, first_tick=first)
            clock.sleep_until_ns(int(frames["write_ns"][-1]))
            made[:] = struct.pack("<q", first + BATCH)
            recorder.write(frames)
            recorder.tend()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
