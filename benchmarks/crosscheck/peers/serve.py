"""Run one driver's verbs at the command of another process: `python serve.py MODULE`.

A request is one JSON line `{"verb": ..., "arguments": {...}}` on stdin; the answer is one JSON line on stdout,
`{"value": ...}` or `{"failure": "text"}`. The process ends at the end of its input. Standard library only, because it
runs in an environment that holds the peer and nothing else.
"""

import functools
import importlib
import json
import os
import sys
import time
from typing import Any


def stopwatch(peer: Any, rounds: int, **arguments: Any) -> list[tuple[int, int]]:
    """Time `rounds` sync reads: the round trip [ns] and this thread's processor time [ns] of each."""
    transact = peer.sync_reader(**arguments)
    times: list[tuple[int, int]] = []
    for _ in range(rounds):
        cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
        done = transact()
        wall, cpu = time.perf_counter_ns() - wall, time.thread_time_ns() - cpu
        if not done:
            raise OSError(f"sync read {len(times)} of {rounds} failed")
        times.append((wall, cpu))
    return times


def answer_to(peer: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Carry out one request; what peers raise over a failed transaction is reported to the process that asked."""
    verb = functools.partial(stopwatch, peer) if request["verb"] == "stopwatch" else getattr(peer, request["verb"])
    try:
        return {"value": verb(**request["arguments"])}
    except (OSError, RuntimeError, ValueError, LookupError) as error:
        return {"failure": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answer requests until the input ends."""
    # What a peer prints must not land among the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    peer = importlib.import_module(sys.argv[1]).Peer()
    for line in sys.stdin:
        print(json.dumps(answer_to(peer, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
