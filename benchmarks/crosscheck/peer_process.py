"""A peer's driver in a process of its own, under its own interpreter, told what to do line by line."""

import json
import select
import subprocess
from importlib.resources import as_file, files
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class PeerFailure(Exception):
    """The peer's call failed inside the peer: a time-out, a corrupt packet, a refusal."""


class PeerProcess:
    """One running peer. Verbs and their arguments are those of the `Peer` class in `peers/<module>.py`."""

    def __init__(self, python: Path, module: str, deadline: float = 60.0) -> None:
        """Start the peer.

        Args:
            python: interpreter of the peer's environment.
            module: name of its module in `peers/`.
            deadline: longest silence during one call [s].
        """
        self._deadline = deadline
        with as_file(files("robot_mbrl.benchmarks.crosscheck") / "peers" / "serve.py") as serve:
            self._process = subprocess.Popen(
                [str(python), str(serve), module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )

    def call(self, verb: str, **arguments: object) -> Any:
        """Run one verb and give its value, made of what JSON holds.

        Raises:
            PeerFailure: the verb raised, or the process gave no answer by the deadline.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n")
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([self._process.stdout], [], [], self._deadline)
            piece = self._process.stdout.read(1 << 20) if readable else b""
            if not piece:
                state = "ended" if readable else f"did not answer within {self._deadline:g} s"
                raise PeerFailure(f"{verb}: the peer's process {state}")
            line += piece
        answer = json.loads(line)
        if "failure" in answer:
            raise PeerFailure(f"{verb}: {answer['failure']}")
        return answer["value"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        """The running peer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.close()
