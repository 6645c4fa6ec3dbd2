"""Child processes: heard, told, ended, and never outliving their parent."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from robot_mbrl.contracts.errors import ProcessFailed
from robot_mbrl.runtime.child import Child
from tests.runtime.arm_stand import PATIENCE, until

SCRIPT = """
import sys
print("nearly", flush=True)
print("child ready at last", flush=True)
sys.stdin.reconfigure(errors="replace")
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
    if line.strip() == "fail":
        print("first complaint", file=sys.stderr)
        sys.exit("last complaint")
"""
ORPHAN = """
import signal, time
from robot_mbrl.runtime.parent import end_with_parent
end_with_parent(signal.SIGKILL)
print("ready", flush=True)
time.sleep(600)
"""
PARENT = """
import os, signal, sys
from robot_mbrl.runtime.child import Child
child = Child("orphan", "orphan_module", "")
child.start()
child.await_line("ready")
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules child processes find."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.getcwd()]))
    return tmp_path


@pytest.fixture
def child(modules: Path) -> Iterator[Child]:
    (modules / "talker.py").write_text(SCRIPT, encoding="utf-8")
    process = Child("talker", "talker", "")
    process.start()
    yield process
    process.close()


def heard(child: Child, line: str) -> None:
    lines: list[str] = []

    def came() -> bool:
        lines.extend(child.lines())
        return line in lines

    until(came, line)


def test_waits_for_the_line_that_says_ready_and_keeps_what_came_before(child: Child) -> None:
    assert child.await_line("child ready") == ["nearly", "child ready at last"]
    child.tell("hello")
    heard(child, "heard hello")
    assert child.alive
    assert child.code is None


def test_a_ready_line_counts_though_somebody_else_has_heard_it(child: Child) -> None:
    assert child.await_line("child ready", lambda: heard(child, "child ready at last")) == []


def test_its_last_words_are_the_last_line_of_its_complaints(child: Child) -> None:
    child.await_line("child ready")
    child.tell("fail")
    assert child.wait(PATIENCE)
    assert (child.code, child.last_words()) == (1, "last complaint")
    child.tell("nobody is there")


def test_a_child_that_ends_before_it_is_ready_has_failed(child: Child) -> None:
    child.tell("fail")
    with pytest.raises(ProcessFailed, match="talker process did not start: last complaint"):
        child.await_line("never said")


def test_without_words_the_signal_is_named(child: Child) -> None:
    child.await_line("child ready")
    child.send_signal(signal.SIGKILL)
    assert child.wait(PATIENCE)
    assert "signal 9" in child.last_words()


def test_ctrl_c_in_the_terminal_does_not_reach_it(child: Child) -> None:
    child.await_line("child ready")
    assert os.getpgid(child.pid) != os.getpgid(0)
    assert os.getsid(child.pid) == child.pid


def test_a_child_that_was_never_started_has_ended() -> None:
    child = Child("none", "none", "")
    assert not child.alive
    assert child.wait(0.0)
    assert child.lines() == []
    child.tell("hello")
    child.close()


def test_a_child_can_ask_to_die_with_its_parent(modules: Path) -> None:
    (modules / "orphan_module.py").write_text(ORPHAN, encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == -signal.SIGKILL
    orphan = int(done.stdout)
    until(lambda: not running(orphan), "the orphan ends")


def running(pid: int) -> bool:
    """Whether a process runs; one that nobody has asked about yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_of_a_long_line_it_hears_the_beginning_whatever_letters_it_is_of(child: Child) -> None:
    child.await_line("child ready")
    child.tell("note " + "█" * 5000)
    child.tell("more")
    lines: list[str] = []

    def came() -> bool:
        lines.extend(child.lines())
        return "heard more" in lines

    until(came, "the line after")
    (long,) = [line for line in lines if line.startswith("heard note ")]
    assert long.count("█") >= 1000


def test_a_child_that_reads_nothing_holds_nobody_up(child: Child) -> None:
    child.await_line("child ready")
    child.send_signal(signal.SIGSTOP)
    for _ in range(100):
        child.tell("x" * 10_000)
