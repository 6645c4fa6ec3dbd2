"""A process that answers every request of one size with the same bytes, at once: a bus without pace or physics.

`python -m robot_mbrl.benchmarks.canned_responder REQUEST_SIZE ANSWER_HEX` prints the name of its pty and serves it
until its input ends. What it costs is the same for every client, so that clients can be compared on it.
"""

import os
import pty
import select
import sys
import tty


def main() -> None:
    """Serve until the input ends."""
    request_size, answer = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
    master, slave = pty.openpty()
    tty.setraw(slave)
    print(os.ttyname(slave), flush=True)
    pending = 0
    poll = select.poll()
    poll.register(master, select.POLLIN)
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor != master:
                return
            pending += len(os.read(master, 4096))
            while pending >= request_size:
                pending -= request_size
                os.write(master, answer)


if __name__ == "__main__":
    main()
