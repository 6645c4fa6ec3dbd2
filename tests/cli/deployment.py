"""`robot-mbrl deploy` as a process, on an emulated arm, with settings that forgive a busy computer."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.data.recorder_settings import RecorderSettings
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.real_time import RealTimeSettings
from robot_mbrl.runtime.session_record import remove_record
from robot_mbrl.runtime.settings import AnyRobot, DeploySettings, LoopSettings
from tests.cli.program import PROGRAM, Standing, environment
from tests.runtime.arm_stand import PATIENCE, moves, until

AFTER = 0.3
"""How long logs go on after a stop [s]."""
SWING = "joints: [shoulder_pan]\namplitude: 0.4\nfrequency: 0.5\n"
FORGIVING = {
    "timing": {"lateness": {"stop": 10.0}, "missed_ticks": {"slow": 5.0, "stop": 10.0}},
    "plausibility": {"age": {"hold": 5.0, "stop": 10.0}, "frozen_time": 5.0, "bus_errors": {"slow": 0.9, "stop": 1.0}},
    "health": {"age": {"slow": 10.0, "stop": 20.0}},
}
"""What depends on how late a busy computer is, is not what these tests are about."""
ON_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
"""Runs a command on a terminal of its own; keys come from standard input, and its end closes the terminal."""


class Deployment:
    """A running deployment.

    Attributes:
        session: its name.
        process: the supervisor.
        logs: folder of its logs.
    """

    def __init__(self, robot: AnyRobot, folder: Path, *flags: str, terminal: bool = False) -> None:
        """Start it, with a policy that swings the first joint."""
        (folder / "swing.yaml").write_text(SWING, encoding="utf-8")
        self.session = f"test-deploy-{os.getpid()}"
        self.logs = folder / "logs"
        settings = DeploySettings(
            session=self.session,
            robot=robot,
            policy=f"sine:{folder / 'swing.yaml'}",
            loop=LoopSettings(rate=100.0, policy_rate=5.0, missed_limit=1.0, bus_patience=20),
            real_time=RealTimeSettings(priority=0, lock_memory=False, spin=0.0),
            safety=FORGIVING,
            recorder=RecorderSettings(after=AFTER),
            log=self.logs,
            guardian_bound=1.0,
        )
        path = folder / "deploy.yaml"
        path.write_text(dump_settings(settings), encoding="utf-8")
        self._output = (folder / "output.txt").open("w+", encoding="utf-8")
        wrapper = [sys.executable, "-c", ON_A_TERMINAL] if terminal else []
        self.process = subprocess.Popen(
            [*wrapper, str(PROGRAM), "deploy", "--settings", str(path), "--yes", *flags],
            stdin=subprocess.PIPE,
            bufsize=0,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=environment(folder),
        )

    def output(self) -> str:
        """What it has said so far."""
        return os.pread(self._output.fileno(), 1 << 20, 0).decode()

    def await_word(self, word: str) -> None:
        """Wait until it has said `word`."""
        until(lambda: word in self.output() or self.process.poll() is not None, word)
        assert word in self.output(), self.output()

    def await_motion(self, standing: Standing) -> None:
        """Wait until the arm moves."""
        try:
            until(lambda: moves(standing) or self.process.poll() is not None, "the arm moves")
        except AssertionError as error:
            raise AssertionError(self.output()) from error
        assert self.process.poll() is None, self.output()

    def press(self, key: str) -> None:
        """Press a key."""
        assert self.process.stdin is not None
        self.process.stdin.write(key.encode())

    def children(self) -> list[int]:
        """Process IDs of its processes."""
        try:
            text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        except FileNotFoundError:
            return []
        return [int(pid) for pid in text.split()]

    def child(self, module: str) -> int:
        """Process ID of the one that runs `module`."""
        found = [pid for pid in self.children() if f"robot_mbrl.runtime.{module}" in command_line(pid)]
        assert len(found) == 1
        return found[0]

    def end(self) -> int:
        """Wait for its end; returns its exit code."""
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End it and whatever it left, so that nothing of a failed test lives on."""
        self.process.kill()
        self.process.wait()
        for pid in session_processes(self.session):
            os.kill(pid, signal.SIGKILL)
        Session(self.session).close()
        remove_record(self.session)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._output.close()


def command_line(pid: int) -> str:
    """Of a process, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def session_processes(session: str) -> list[int]:
    """Everything that still runs for a session."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [pid for pid in pids if f'"session":"{session}"' in command_line(pid)]


def shared_memory(session: str) -> list[str]:
    """Files that a session has in shared memory."""
    return [path.name for path in Path("/dev/shm").iterdir() if f"-{session}" in path.name]


@contextmanager
def deployed(robot: AnyRobot, folder: Path, *flags: str, terminal: bool = False) -> Iterator[Deployment]:
    """A deployment, which is gone afterwards."""
    deployment = Deployment(robot, folder, *flags, terminal=terminal)
    try:
        yield deployment
    finally:
        deployment.close()
