"""Somebody who has just installed the program: what it says first, completes, and shows on whatever terminal he has."""

import fcntl
import json
import os
import pty
import re
import resource
import struct
import subprocess
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from robot_mbrl import __version__
from robot_mbrl.cli.main import COMMANDS, COMPLETION, FIRST_COMMANDS, run
from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.runtime.real_time import RealTimeSettings
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from tests.cli.deployment import FORGIVING
from tests.cli.program import PATIENCE, PROGRAM, Standing, environment, run_here
from tests.docs.pages import README, commands

NOBODY = 65534
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")
STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
Capture = pytest.CaptureFixture[str]


# -- the first words -----------------------------------------------------------------------------------------------


def test_alone_it_says_what_to_do_first(capsys: Capture) -> None:
    """On one screen, and in the order in which an arm needs it."""
    outcome = run_here(capsys)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0].startswith(f"robot-mbrl {__version__}: ")
    assert len(lines) <= 20
    shown = [line.strip() for line in lines if line.startswith("  ")]
    assert shown == [COMMANDS["demo"].example, *FIRST_COMMANDS]
    assert "robot-mbrl --help" in outcome.out
    assert "--install-completion" in outcome.out


def test_what_it_says_first_is_the_readmes_order() -> None:
    written = iter(commands(README))
    assert all(line in written for line in FIRST_COMMANDS), "each is looked for behind the one before"


def test_the_version_is_all_that_is_told(capsys: Capture) -> None:
    outcome = run_here(capsys, "--version", "demo")
    assert (outcome.code, outcome.out) == (0, f"robot-mbrl {__version__}\n")


# -- completion ----------------------------------------------------------------------------------------------------


def completed(line: str, capture: Capture, patch: pytest.MonkeyPatch) -> list[str]:
    """What bash is offered for the last word of `line`."""
    patch.setenv(COMPLETION, "complete_bash")
    patch.setenv("COMP_WORDS", line)
    patch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    with pytest.raises(SystemExit) as ended:
        run([])
    assert ended.value.code == 0
    return capture.readouterr().out.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("robot-mbrl s", ["scan", "setup-motors", "stop"]),
        ("robot-mbrl calibrate ", ["joints", "monitor"]),
        ("robot-mbrl scan --pro", ["--protocol"]),
        ("robot-mbrl move --arm koch", ["koch_follower", "koch_leader"]),
        ("robot-mbrl deploy --arm so101", ["so101_follower", "so101_leader"]),
        ("robot-mbrl torque o", ["on", "off"]),
    ],
)
def test_words_are_completed(line: str, offered: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sorted(completed(line, capsys, monkeypatch)) == sorted(offered)


def test_the_script_for_bash_completes_in_bash(tmp_path: Path) -> None:
    script = (
        f'eval "$({PROGRAM} --show-completion)"; COMP_WORDS=(robot-mbrl dep); COMP_CWORD=1; '
        f'_robot_mbrl_completion {PROGRAM}; echo "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "deploy\n"), done.stderr


# -- terminals -----------------------------------------------------------------------------------------------------


def on_a_terminal(columns: int, home: Path, *arguments: str, **variables: str) -> str:
    """What the program shows on a terminal of that width."""
    controller, screen = pty.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    given = {name: value for name, value in environment(home).items() if name not in {"COLUMNS", "NO_COLOR"}}
    process = subprocess.Popen(
        [str(PROGRAM), *arguments],
        env={**given, "TERM": "xterm-256color", **variables},
        stdin=screen,
        stdout=screen,
        stderr=screen,
    )
    os.close(screen)
    shown = b"".join(read_all(controller))
    process.wait(PATIENCE)
    os.close(controller)
    assert process.returncode == 0, shown.decode()
    return shown.decode()


def read_all(descriptor: int) -> Iterator[bytes]:
    """Everything until the other end is closed, which Linux tells by an error."""
    while True:
        try:
            data = os.read(descriptor, 4096)
        except OSError:
            return
        yield data


@pytest.mark.parametrize(("columns", "variables"), [(50, {}), (200, {"NO_COLOR": "1"})])
def test_a_table_fits_its_terminal_and_keeps_its_words(columns: int, variables: dict[str, str], tmp_path: Path) -> None:
    shown = on_a_terminal(columns, tmp_path, "doctor", **variables)
    assert bool(COLOUR.search(shown)) is not bool(variables), "a terminal gets colours, but where it wants none"
    lines = STYLE.sub("", shown).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= columns
    assert "mujoco" in "".join("".join(lines).split())


def test_help_fits_a_narrow_terminal(tmp_path: Path) -> None:
    """But for lines that are to be copied, which stay whole."""
    shown = on_a_terminal(60, tmp_path, "move", "--help")
    assert all(len(line) <= 60 or "robot-mbrl" in line for line in shown.splitlines())


def test_a_terminal_that_knows_no_degrees_gets_a_question_mark(so101: Standing, tmp_path: Path) -> None:
    flags = ("--port", so101.port, "--protocol", "feetech", "--ids", "1", "--margin", "0.1")
    done = subprocess.run(
        [str(PROGRAM), "scan", *flags],
        env={**environment(tmp_path), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b" ?C" in done.stdout
    assert done.stdout.isascii()


def test_a_pipe_that_is_closed_early_is_no_crash(tmp_path: Path) -> None:
    """As `robot-mbrl --help | head -1` does."""
    receiver, sender = os.pipe()
    os.close(receiver)
    done = subprocess.run(
        [str(PROGRAM), "--help"], env=environment(tmp_path), stdout=sender, stderr=subprocess.PIPE, check=False
    )
    os.close(sender)
    assert done.returncode == 1
    assert done.stderr == b""


# -- without root --------------------------------------------------------------------------------------------------


@pytest.fixture
def home_of_nobody() -> Iterator[Path]:
    """A folder that belongs to a user without rights."""
    with tempfile.TemporaryDirectory() as folder:
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        yield Path(folder)


def as_nobody(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the program as a user without rights; as oneself, where one has none to give up.

    The one right that is left is to read what only root may read, as interpreter and checkout may lie there.
    """
    command = [str(PROGRAM), *arguments]
    if os.getuid() == 0:
        user = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        command = ["setpriv", *user, *(f"--{kind}-caps=-all,+dac_read_search" for kind in ("inh", "ambient")), *command]
    done = subprocess.run(
        command, env=environment(home), cwd=home, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.stderr.startswith("setpriv:"):
        pytest.skip(done.stderr)
    return done


def test_an_arm_is_run_without_root(home_of_nobody: Path) -> None:
    """With channels, guardian and recorder; real time is refused, which is told and does no harm."""
    session = f"test-nobody-{os.getpid()}"
    settings = DeploySettings(
        session=session,
        robot=TwinSettings(),
        policy="sine",
        loop=LoopSettings(rate=100.0, missed_limit=1.0),
        safety=FORGIVING,
        guardian_bound=1.0,
    )
    (home_of_nobody / "deploy.yaml").write_text(dump_settings(settings), encoding="utf-8")
    done = as_nobody(home_of_nobody, "deploy", "--settings", "deploy.yaml", "--seconds", "1", "--yes")
    assert done.returncode == 0, done
    assert "the run's 1 s are over" in done.stdout
    assert list((home_of_nobody / "logs").glob("flight-*.mcap"))
    assert not [path for path in Path("/dev/shm").iterdir() if session in path.name]


def test_the_doctor_tells_a_user_without_rights_how_to_get_real_time(home_of_nobody: Path) -> None:
    done = as_nobody(home_of_nobody, "doctor", "--json")
    assert done.returncode == 0, done
    (check,) = (check for check in json.loads(done.stdout)["checks"] if check["name"] == "SCHED_FIFO")
    limit = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    granted = limit == resource.RLIM_INFINITY or limit >= RealTimeSettings().priority
    assert check["status"] == ("ok" if granted else "warn")
    assert granted or "@dialout - rtprio 99" in check["remedy"]
