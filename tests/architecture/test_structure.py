"""The house: folders, links and the package list agree; imports follow the arrows; files stay readable, tests too."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINKED = ("benchmarks", "drivers", "policies", "safety", "sim")
MAX_LINES = 400
"""What a file may hold before it is more than one idea."""

FOUNDATION = ("contracts", "drivers", "safety", "policies", "sim")
ALLOWED: dict[str, tuple[str, ...]] = {
    "contracts": ("contracts",),
    "drivers": ("contracts", "drivers"),
    "safety": ("contracts", "safety"),
    "policies": ("contracts", "policies"),
    "sim": ("contracts", "drivers.arms", "sim"),
    "commissioning": ("contracts", "drivers", "commissioning"),
    "data": (*FOUNDATION, "data"),
    "runtime": (*FOUNDATION, "commissioning", "data", "runtime"),
    "learning": (*FOUNDATION, "data", "learning"),
    "benchmarks": (*FOUNDATION, "commissioning", "data", "runtime", "learning", "benchmarks"),
    "demo": (*FOUNDATION, "commissioning", "data", "runtime", "learning", "benchmarks", "demo"),
    "cli": (*FOUNDATION, "commissioning", "data", "runtime", "learning", "benchmarks", "demo", "cli"),
}
"""Which parts of robot_mbrl each part may import. A part that is not listed has no place yet."""


def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def setuptools_table() -> dict[str, object]:
    tool = project()["tool"]
    assert isinstance(tool, dict)
    table = tool["setuptools"]
    assert isinstance(table, dict)
    return table


def source_files() -> Iterator[tuple[str, Path]]:
    """(dotted name below robot_mbrl, file) of every module of the program."""
    for folder in ("robot_mbrl", *LINKED):
        for path in sorted((ROOT / folder).rglob("*.py")):
            relative = path.relative_to(ROOT)
            if path.is_symlink() or any((ROOT / parent).is_symlink() for parent in relative.parents):
                continue
            parts = relative.with_suffix("").parts
            yield ".".join(parts[1:] if folder == "robot_mbrl" else parts), path


MODULES = dict(source_files())


def imports(path: Path) -> Iterator[str]:
    """Every module of ours that a file imports, `from package import module` resolved, wherever in the file it is."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("robot_mbrl."):
                yield name.removeprefix("robot_mbrl.")


def is_allowed(name: str, allowed: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in allowed)


def test_the_links_are_relative_and_lead_to_the_folders_at_the_root() -> None:
    for name in LINKED:
        link = ROOT / "robot_mbrl" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name
        assert (ROOT / name / "__init__.py").is_file()


def test_package_list_and_folders_agree() -> None:
    found = {
        ".".join(("robot_mbrl", *name.removesuffix("__init__").rstrip(".").split("."))).rstrip(".")
        for name in MODULES
        if name.rpartition(".")[2] == "__init__"
    }
    packages = setuptools_table()["packages"]
    assert isinstance(packages, list)
    assert packages == sorted(found)


def test_the_package_map_leads_to_the_linked_folders() -> None:
    assert setuptools_table()["package-dir"] == {"robot_mbrl": "robot_mbrl"} | {
        f"robot_mbrl.{name}": name for name in LINKED
    }


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_follow_the_arrows(name: str) -> None:
    part = name.split(".", maxsplit=1)[0]
    allowed = ALLOWED.get(part, ())
    wrong = [found for found in imports(MODULES[name]) if not is_allowed(found, allowed) and found != "__version__"]
    assert not wrong, f"robot_mbrl.{name} may import only {allowed}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_files_hold_one_idea_and_public_things_are_described(name: str) -> None:
    text = MODULES[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the module has no docstring"
    undescribed = [node.name for node in public_definitions(tree) if not ast.get_docstring(node)]
    assert not undescribed


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.startswith((*FOUNDATION, "runtime"))))
def test_nothing_that_moves_an_arm_reads_a_clock_that_can_be_set(name: str) -> None:
    """Then a system clock that is stepped is no fault: whatever has an age is stamped by the monotonic clock."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    read = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not read & {"time.time", "time.time_ns", "time.CLOCK_REALTIME", "datetime.now", "datetime.datetime.now"}


TESTS = {str(path.relative_to(ROOT)): path for path in sorted((ROOT / "tests").rglob("*.py"))}


@pytest.mark.parametrize("name", sorted(TESTS))
def test_test_files_hold_one_idea_too_and_say_which(name: str) -> None:
    text = TESTS[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text)), "the module has no docstring"
    assert TESTS[name].name != "__init__.py", "the tests' folders are no packages"


def public_definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Public functions, classes and their public methods."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                inner = (part for part in node.body if isinstance(part, ast.FunctionDef))
                yield from (part for part in inner if not part.name.startswith("_"))
