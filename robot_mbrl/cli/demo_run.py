"""What `robot-mbrl demo` does once its libraries are there."""

import datetime as dt
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
import typer

from robot_mbrl.cli.demo_screen import TerminalScreen
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.demo.pace import FAST, FULL
from robot_mbrl.demo.show import Order, show
from robot_mbrl.runtime.ending_signals import SIGNALLED

THREADS = 2
"""Of fitting the models, on the two cores that the times in the help are for."""


def run_demo(seed: int, folder: Path | None, *, fast: bool) -> None:
    """Run the demonstration in `folder`; None makes a new one in the working directory.

    Raises:
        RobotMbrlError: see `demo.show`.
    """
    torch.set_num_threads(THREADS)
    clock = MonotonicClock()
    order = Order((folder or _new_folder()).absolute(), seed, FAST if fast else FULL)
    try:
        with _ended_by_signals(), TerminalScreen(clock) as screen:
            for line in show(order, screen, clock):
                screen.tell(line)
    except KeyboardInterrupt:
        # The program's frame would end without a word.
        typer.echo("error: interrupted", err=True)
        raise


def _new_folder() -> Path:
    now = dt.datetime.now().astimezone()
    return Path(f"robot-mbrl-demo-{now:%Y%m%d-%H%M%S}")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal unwind the program as Ctrl-C does, so that nothing stays behind."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(SIGNALLED + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
