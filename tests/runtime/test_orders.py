"""What a process is told, line by line."""

import os

import pytest

from robot_mbrl.runtime.orders import Orders


def test_lines_come_one_by_one_and_then_the_end() -> None:
    read, write = os.pipe()
    orders = Orders(read)
    assert orders.next() is None
    os.write(write, b"first\nsecond\nthi")
    assert [orders.next(), orders.next(), orders.next()] == ["first", "second", None]
    os.write(write, b"rd\n")
    os.close(write)
    assert orders.next() == "third"
    assert orders.next() is None
    assert orders.ended
    os.close(read)


@pytest.mark.parametrize("cut", [1, 2])
def test_a_line_that_ends_within_a_character_is_still_one(cut: int) -> None:
    read, write = os.pipe()
    os.write(write, "note 100 █".encode()[:-cut] + b"\nafter\n")
    orders = Orders(read)
    told = orders.next()
    assert told is not None
    assert told.startswith("note 100 ")
    assert orders.next() == "after"
    os.close(read)
    os.close(write)
