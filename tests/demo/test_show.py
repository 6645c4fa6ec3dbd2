"""What is seen to before the demonstration begins: its folder, its space, and that it is alone."""

import errno
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.demo.show import prepare_folder, the_only_one


def test_a_new_folder_is_made_and_an_empty_one_taken(tmp_path: Path) -> None:
    for _ in range(2):
        prepare_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("another demonstration's", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not empty: give --folder a new folder"):
        prepare_folder(tmp_path)


def test_too_little_space_is_refused_and_no_folder_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=3_000_000))
    with pytest.raises(ConfigError, match="3 MB are free, the demonstration needs 105 MB"):
        prepare_folder(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="Not a directory: give --folder a folder that can be written"):
        prepare_folder(tmp_path / "file" / "b")


def test_there_is_only_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # As somebody else, whom no demonstration on this computer can disturb.
    somebody = 10**9 + os.getpid()
    monkeypatch.setattr("os.getuid", lambda: somebody)
    with the_only_one(), pytest.raises(ConfigError, match="another demonstration is running"), the_only_one():
        pass
    with the_only_one():
        pass


def test_a_lock_that_cannot_be_had_is_no_other_demonstration(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(socket.socket):
        def bind(self, *_: Any) -> None:
            raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("socket.socket", Refused)
    with pytest.raises(ConfigError, match="Permission denied: let this program use Unix sockets"), the_only_one():
        pass
