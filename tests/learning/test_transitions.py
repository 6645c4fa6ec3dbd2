"""Transitions: bounded in memory, complete on disk, readable after a write that broke off."""

import json
from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.transitions import FORMAT, Lessons, TransitionFile, Transitions, read_transitions


def filled(count: int, capacity: int = 100) -> Transitions:
    """Transitions whose every number tells which one it is."""
    found = Transitions(3, 2, capacity)
    for index in range(count):
        found.add(np.full(3, index, np.float32), np.full(2, -index, np.float32), np.full(3, index + 1), index / 2)
    return found


def test_the_newest_are_kept_in_order() -> None:
    transitions = filled(7, capacity=4)
    assert (len(transitions), transitions.total) == (4, 7)
    np.testing.assert_array_equal(transitions.states[:, 0], [3, 4, 5, 6])
    np.testing.assert_array_equal(transitions.next_states[:, 2], [4, 5, 6, 7])
    np.testing.assert_array_equal(transitions.actions[:, 1], [-3, -4, -5, -6])
    np.testing.assert_array_equal(transitions.rewards, [1.5, 2.0, 2.5, 3.0])


def taught(count: int) -> Transitions:
    """Transitions of one number each; the lessons are to do the opposite, there and in a state ten times as large."""
    found = Transitions(1, 1, 100, lessons=2)
    for index in range(count):
        number = np.full(1, index + 1, np.float32)
        asked = np.stack((number, 10.0 * number))
        found.add(number, number, number, 0.0, Lessons(asked, -asked))
    return found


def test_lessons_are_kept_in_memory_and_in_the_file(tmp_path: Path) -> None:
    np.testing.assert_array_equal(taught(3).lessons.states[:, 0], [1, 10, 2, 20, 3, 30])
    np.testing.assert_array_equal(taught(3).lessons.actions[:, 0], [-1, -10, -2, -20, -3, -30])
    assert filled(3).lessons.states.shape == (0, 3)
    with TransitionFile(tmp_path / "taught.bin", 1, 1, lessons=2) as file:
        file.append(taught(4), 0)
        again = file.read(3, capacity=2)
    np.testing.assert_array_equal(again.lessons.actions[:, 0], [-2, -20, -3, -30])
    kept = read_transitions(tmp_path / "taught.bin").lessons
    np.testing.assert_array_equal(kept.states, taught(3).lessons.states)
    np.testing.assert_array_equal(kept.actions, taught(3).lessons.actions)


def test_a_file_without_lessons_is_not_gone_on_with_where_somebody_teaches(tmp_path: Path) -> None:
    TransitionFile(tmp_path / "untaught.bin", 1, 1).close()
    with pytest.raises(ConfigError, match="begins with"):
        TransitionFile(tmp_path / "untaught.bin", 1, 1, lessons=1)


@pytest.mark.parametrize("given", [None, 1, 3])
def test_each_transition_has_as_many_lessons(given: int | None) -> None:
    number = np.ones(1, np.float32)
    asked = np.ones((given or 0, 1), np.float32)
    lessons = None if given is None else Lessons(asked, asked)
    transitions = taught(2)
    with pytest.raises(ConfigError, match=f"transition 2 has {given or 0} lessons: each has 2"):
        transitions.add(number, number, number, 0.0, lessons)
    assert len(transitions) == 2


def test_a_number_that_is_not_finite_is_refused_and_not_kept() -> None:
    transitions = filled(2)
    with pytest.raises(ConfigError, match=r"transition 2 .*nan"):
        transitions.add(np.zeros(3, np.float32), np.full(2, np.nan, np.float32), np.zeros(3, np.float32), 0.0)
    assert len(transitions) == 2


def test_the_file_holds_all_and_memory_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "transitions.bin"
    transitions = filled(7, capacity=4)
    with TransitionFile(path, 3, 2) as file:
        file.append(filled(4), 0)
        file.append(transitions, 4)
        again = file.read(7, capacity=4)
    np.testing.assert_array_equal(again.states, transitions.states)
    assert again.total == 7
    np.testing.assert_array_equal(read_transitions(path).states, filled(7).states)


def test_what_a_checkpoint_does_not_count_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "transitions.bin"
    with TransitionFile(path, 3, 2) as file:
        file.append(filled(9), 0)
        assert len(file.read(5, capacity=100)) == 5
        file.append(filled(6), 5)
    np.testing.assert_array_equal(read_transitions(path).states, filled(6).states)


@pytest.mark.parametrize("missing", [1, 17, 35])
def test_a_record_that_broke_off_is_left_out(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "transitions.bin"
    with TransitionFile(path, 3, 2) as file:
        file.append(filled(5), 0)
    path.write_bytes(path.read_bytes()[:-missing])
    np.testing.assert_array_equal(read_transitions(path).states, filled(4).states)
    with TransitionFile(path, 3, 2) as file:
        assert len(file.read(4, capacity=100)) == 4
        with pytest.raises(ConfigError, match="holds 4 transitions, not 5"):
            file.read(5, capacity=100)


def header(**changes: object) -> bytes:
    return json.dumps({"format": FORMAT, "states": 3, "actions": 2, "lessons": 1} | changes).encode() + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        header(format="other"),
        b"[1]\n" + bytes(100),
        header(states=0),
        header(actions=-2),
        header(lessons=10**12),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "transitions.bin"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"transitions\.bin"):
        read_transitions(path)


def test_transitions_of_another_task_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "transitions.bin"
    TransitionFile(path, 3, 2).close()
    with pytest.raises(ConfigError, match=r"\"states\": 4"):
        TransitionFile(path, 4, 2)


def test_rows_that_were_overwritten_are_not_given() -> None:
    with pytest.raises(ConfigError, match="newest 4"):
        filled(7, capacity=4).rows(2)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_transitions(tmp_path / "none")
