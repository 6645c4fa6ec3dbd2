"""The error tree is the one that its docstring draws."""

import inspect
import re

from robot_mbrl.contracts import errors

NAMES = {name for name, thing in inspect.getmembers(errors, inspect.isclass) if issubclass(thing, Exception)}


def depth_and_name(line: str) -> tuple[int, str] | None:
    match = re.match(r"^((?:[│ ]   |[├└]── )*)([A-Z]\w+)", line)
    return (len(match[1]) // 4, match[2]) if match else None


def test_the_drawing_shows_every_error_under_its_parent() -> None:
    lines = (errors.__doc__ or "").split("RobotMbrlError                 1")[1].splitlines()
    parents: list[str] = ["RobotMbrlError"]
    drawn = {"RobotMbrlError"}
    for line in lines:
        found = depth_and_name(line)
        if found is None:
            continue
        depth, name = found
        drawn.add(name)
        assert getattr(errors, name).__bases__ == (getattr(errors, parents[depth - 1]),), name
        parents[depth:] = [name]
    assert drawn == NAMES


def test_every_error_is_exported_and_has_an_exit_code_of_its_family() -> None:
    assert set(errors.__all__) == NAMES
    assert all(0 < getattr(errors, name).exit_code < 126 for name in NAMES)
    families = errors.RobotMbrlError.__subclasses__()
    codes = [cls.exit_code for cls in families]
    assert len(set(codes)) == len(codes)
