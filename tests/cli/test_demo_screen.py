"""The demonstration's terminal: what is told once, and a terminal that is gone, with its window or its line."""

import errno
import io
import os
import pty
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout

import pytest

from robot_mbrl.cli.demo_screen import SCRIPTED, TerminalScreen
from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.frame import FRAME_DTYPE, empty
from robot_mbrl.data.log_header import LogHeader
from tests.cli.program import PATIENCE
from tests.data.flights import header


class Window(io.TextIOWrapper):
    """Standard output in a window, which still looks like a terminal when it was closed: it may be just then."""

    def __init__(self) -> None:
        self.screen, seat = pty.openpty()
        super().__init__(os.fdopen(seat, "wb"), encoding="utf-8")

    def isatty(self) -> bool:
        return True

    def await_word(self, word: bytes) -> None:
        """Wait until it shows `word`."""
        seen = b""
        while word not in seen:
            assert select.select([self.screen], (), (), PATIENCE)[0], seen
            seen += os.read(self.screen, 1 << 16)

    def shut(self) -> None:
        """Close the window. Idempotent."""
        if self.screen >= 0:
            os.close(self.screen)
            self.screen = -1


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setenv("TERM", "xterm")
    opened = Window()
    yield opened
    opened.shut()
    # What a window that is gone did not take must not be tried again and fail, as it would when the program ends.
    opened.close()


def test_a_closed_window_refuses_what_is_written(window: Window) -> None:
    """So it is with the operating system: what the other tests here are about."""
    window.shut()
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        os.write(window.fileno(), b"told")


def test_nothing_is_raised_when_it_is_gone_before_the_first_word(window: Window) -> None:
    window.shut()
    with redirect_stdout(window):
        with TerminalScreen(ManualClock()) as screen:
            screen.tell("told")
        assert sys.stdout is window


@pytest.mark.parametrize(
    "use",
    [
        lambda screen: screen.tell("told"),
        lambda screen: screen.stage("a part"),
        lambda screen: screen.progress("done", 1, 2),
        lambda screen: screen.show(empty(FRAME_DTYPE)),
        lambda _: None,
    ],
    ids=["tell", "stage", "progress", "show", "exit"],
)
def test_nothing_is_raised_when_it_closes_while_it_is_used(
    window: Window, use: Callable[[TerminalScreen], None]
) -> None:
    errors = sys.stderr
    with redirect_stdout(window):
        with TerminalScreen(ManualClock(start_ns=10**10)) as screen:
            screen.watch(header(), None)
            window.await_word(b"script presses")
            window.shut()
            use(screen)
        assert (sys.stdout, sys.stderr) == (window, errors), "others can write again where they like"


def test_whose_keys_count_is_told_before_the_first_flight_only(capsys: pytest.CaptureFixture[str]) -> None:
    screen = TerminalScreen(ManualClock())
    described: LogHeader = header()
    screen.watch(described, None)
    screen.watch(described, None)
    assert capsys.readouterr().out == f"   {SCRIPTED}\n"
