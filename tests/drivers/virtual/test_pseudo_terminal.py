"""Pseudo-terminals: two ends of one line, or a line that says what is missing."""

import os
import pty

import pytest

from robot_mbrl.contracts.errors import PortError
from robot_mbrl.drivers.virtual.pseudo_terminal import open_pseudo_terminal


def test_what_goes_in_at_one_end_comes_out_at_the_other() -> None:
    far, near = open_pseudo_terminal()
    try:
        os.write(near, b"servo")
        assert os.read(far, 16) == b"servo"
    finally:
        os.close(far)
        os.close(near)


def test_a_computer_without_any_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> tuple[int, int]:
        raise OSError("out of pty devices")

    monkeypatch.setattr(pty, "openpty", none_left)
    with pytest.raises(PortError, match=r"out of pty devices.*mount devpts"):
        open_pseudo_terminal()
