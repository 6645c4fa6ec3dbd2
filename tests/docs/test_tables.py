"""What the pages list is what there is: commands, checks, faults, exit codes, folders, arrows, benches of stops."""

import re
from typing import get_args

from robot_mbrl.benchmarks.stop_proof.campaign import KINDS
from robot_mbrl.cli.main import COMMANDS, INTERRUPTED
from robot_mbrl.commissioning.check import LIMITS_FILE, UDEV_FILE
from robot_mbrl.commissioning.host_checks import UDEV_RULE
from robot_mbrl.contracts import errors
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.drivers.virtual.faults import Fault
from robot_mbrl.policies.registry import POLICIES
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.runtime.real_time import STEPS
from robot_mbrl.sim.geometry import MujocoGeometry
from tests.architecture.test_structure import ALLOWED, MODULES
from tests.docs.pages import README, ROOT, block_after, rows

DOCS = ROOT / "docs"
WORD = re.compile(r"`([a-z][a-z_-]*)`")
ALL_CHECKS = {"uncertainty": {name: {"stop": 1.0} for name in ("disagreement", "residual")}}


def words(cells: list[list[str]], column: int) -> list[str]:
    """Everything between backticks in a column."""
    return [word for row in cells for word in WORD.findall(row[column])]


def check_names() -> tuple[str, ...]:
    """Of a monitor that knows the arm's geometry and has a model beside it."""
    arm = load_arm("so101_follower")
    return build_monitor(arm, MujocoGeometry(arm), ALL_CHECKS).check_names


def test_the_readme_lists_every_command_once() -> None:
    assert sorted(words(rows(README, "## The commands"), 0)) == sorted(COMMANDS)


def test_the_concepts_page_lists_every_policy() -> None:
    named = re.findall(r"`([a-z]+)(?::[A-Z]+)?`", " ".join(row[0] for row in rows(DOCS / "concepts.md", "## Policy")))
    assert set(named) == set(POLICIES)


def test_the_safety_page_lists_every_check_once() -> None:
    names = check_names()
    assert sorted(words(rows(DOCS / "safety.md", "## What is watched"), 1)) == sorted(names)
    assert f"one of {len(names)} checks" in README.read_text(encoding="utf-8")


def test_the_hardware_page_lists_every_fault_once() -> None:
    (union, _) = get_args(Fault)
    faults = [kind.model_fields["fault"].default for kind in get_args(union)]
    assert sorted(words(rows(DOCS / "hardware.md", "## The emulated arm"), 1)) == sorted(faults)


def test_the_page_of_exit_codes_is_the_error_tree() -> None:
    listed = {row[0]: row[2].strip("`") for row in rows(DOCS / "exit-codes.md", "# Exit codes")}
    kinds = {str(kind.exit_code): name for name in errors.__all__ if "exit_code" in vars(kind := getattr(errors, name))}
    assert {code: name for code, name in listed.items() if name} == kinds
    assert f"{INTERRUPTED} is Ctrl-C" in (DOCS / "exit-codes.md").read_text(encoding="utf-8")


def test_the_symptoms_are_what_the_program_says() -> None:
    titles = ("The arm does not answer", "The arm does not move", "The program")
    symptoms = [row[0] for title in titles for row in rows(DOCS / "troubleshooting.md", f"## {title}")]
    quoted = [text for symptom in symptoms for text in re.findall("`([^`]*)`", symptom)]
    sources = "".join(path.read_text(encoding="utf-8") for path in MODULES.values())
    assert len(quoted) >= 7
    assert [text for text in quoted if text not in sources] == []


def test_the_reasons_of_stops_are_checks() -> None:
    assert set(words(rows(DOCS / "troubleshooting.md", "## The arm stopped"), 0)) <= set(check_names())


def test_remedies_are_those_that_doctor_names() -> None:
    page = (DOCS / "hardware.md").read_text(encoding="utf-8")
    assert UDEV_RULE in page
    assert UDEV_FILE in page
    assert LIMITS_FILE in page
    limits = [line for line in page.splitlines() if line.startswith("@dialout")]
    assert len(limits) == 2
    assert all(any(line in step.remedy for step in STEPS) for line in limits)


def test_the_readme_counts_the_faults_of_the_stop_proof() -> None:
    assert f"faults of {len(KINDS)} kinds" in README.read_text(encoding="utf-8")


def test_the_readmes_folders_are_there() -> None:
    folders = [line.split()[0] for line in block_after(README, "The folders:")]
    assert all((ROOT / folder).is_dir() for folder in folders)
    parts = {folder.removeprefix("robot_mbrl/").rstrip("/") for folder in folders}
    assert parts == {*ALLOWED, "tests"}


def test_the_readmes_arrows_are_those_that_are_kept() -> None:
    """`a  <-  b  <-  c`: b may import a, c may import a and b, and each may import itself."""
    drawn: dict[str, set[str]] = {}
    named: set[str] = set()
    for line in block_after(README, "Who may import whom, held by a test:"):
        arrow, *_ = re.split(r" {3,}", line)
        left, *rights = (set(group.strip().split(", ")) for group in arrow.split("  <-  "))
        below = set(named) if left == {"all of these"} else left
        for right in rights:
            for part in right:
                drawn[part] = {*below, part}
            below = below | right
        named |= below - {"all of these"}
    drawn["contracts"] = {"contracts"}
    kept = {part: set(allowed) for part, allowed in ALLOWED.items()}
    assert {part: whole(allowed) for part, allowed in drawn.items()} == kept


def whole(parts: set[str]) -> set[str]:
    """Without what is part of another one."""
    return {part for part in parts if part.partition(".")[0] == part or part.partition(".")[0] not in parts}
