"""The README's commands do what it says: each is run as it stands there, with another path for the port.

What cannot be run as it stands is held to something else: a `make` target to the Makefile, `sudo` to the remedy that
`doctor` names. The Python of `docs/python.md` goes on where the README's quick start ends, and is run here too.
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from robot_mbrl.commissioning.emulated_hand import ControlledArm, EmulatedHand
from robot_mbrl.commissioning.host_checks import PERMISSION
from robot_mbrl.commissioning.servo_search import UNHURRIED
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.drivers.bus import open_bus
from robot_mbrl.drivers.dialects import arm_servos
from robot_mbrl.drivers.torque import read_torque
from robot_mbrl.drivers.virtual.control import control_path
from robot_mbrl.drivers.virtual.control_client import ControlClient
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess
from tests.cli.deployment import FORGIVING
from tests.cli.factory_bench import await_servo, set_up
from tests.cli.program import PATIENCE, PROGRAM, Standing, calibrate, environment, run
from tests.docs.pages import PAGES, README, ROOT, commands, python_blocks

LINK = "/tmp/so101"
HARDWARE = "/dev/ttyACM0"


TEXT = README.read_text(encoding="utf-8")
COMMANDS = commands(README)
EMULATED = [line for line in COMMANDS if LINK in line]
ON_HARDWARE = [line for line in COMMANDS if HARDWARE in line]
ON_THE_TWIN = [line for line in COMMANDS if "--robot twin" in line]
LEARNING = {
    "robot-mbrl train dreamer --settings examples/dreamer_reach.yaml --run-folder runs/dreamer-reach": "--steps 32",
    "robot-mbrl export runs/dreamer-reach bundles/first": "--newest --parity-steps 20",
}
"""With flags that make them end soon: what comes out is a bundle, and no policy worth the name."""
MADE = {line for page in PAGES for line in commands(page) if line.startswith("make ")}
TARGETS = sorted(MADE | set(re.findall("`(make [a-z]+)", TEXT)))


def words(line: str, folder: Path) -> list[str]:
    """Arguments of a `robot-mbrl` line, with paths of this test's own."""
    paths = {LINK: folder / "so101", HARDWARE: folder / "port", "examples/": ROOT / "examples"}
    paths |= {"runs/": folder / "runs", "bundles/": folder / "bundles"}
    for written, path in paths.items():
        line = line.replace(written, f"{path}/" if written.endswith("/") else str(path))
    program, *arguments = line.split()
    assert program == "robot-mbrl"
    return arguments


def forgiving(folder: Path) -> tuple[str, ...]:
    """Flags with which a busy computer does not stop a deployment: these tests are not about how late it is."""
    settings = DeploySettings(
        robot=TwinSettings(),
        loop=LoopSettings(missed_limit=1.0, bus_patience=50),
        safety=FORGIVING,
        guardian_bound=1.0,
    )
    path = folder / "forgiving.yaml"
    path.write_text(dump_settings(settings), encoding="utf-8")
    return ("--settings", str(path))


def torque_at(link: Path) -> list[bool]:
    """Which servos of the SO-101 at `link` have torque."""
    arm = load_arm("so101_follower")
    bus = open_bus(str(link), arm.protocol, arm.baud, MonotonicClock(), UNHURRIED)
    try:
        return read_torque(bus, arm_servos(arm))
    finally:
        bus.close()


def test_every_command_is_held_to_something() -> None:
    run_below = [*EMULATED, *ON_HARDWARE, *ON_THE_TWIN, *LEARNING, "robot-mbrl doctor", "robot-mbrl"]
    rest = [line for line in COMMANDS if line not in run_below]
    assert set(rest) == {
        ". .venv/bin/activate",
        "sudo usermod -aG dialout $USER",
        "make demo",
        "make test",
    }


def planned(*arguments: str) -> str:
    """What make would do."""
    plan = subprocess.run(["make", *arguments, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert plan.returncode == 0, plan.stderr
    return plan.stdout


@pytest.mark.parametrize("line", [line for line in TARGETS if line != "make setup"])
def test_make_has_the_target(line: str) -> None:
    assert ".venv/bin/" in planned(line.removeprefix("make "))


def test_the_set_up_tells_first_what_it_takes() -> None:
    told, pip, _ = planned("setup", "--always-make", "PYTHON=python3.12").partition(".venv/bin/pip install")
    assert pip
    (size,) = re.findall(r"[\d.]+ GB", told)
    assert size in TEXT
    assert "python3.12 -m venv .venv" in told


def test_the_environment_is_where_make_puts_it() -> None:
    assert "VENV := .venv\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_remedy_against_a_locked_port_is_doctors() -> None:
    assert PERMISSION.startswith("sudo usermod -aG dialout $USER")


def test_the_quick_start(folder: Path) -> None:
    server, *clients, _, release = EMULATED
    arm = load_arm("so101_follower")
    terminal = subprocess.Popen(
        [str(PROGRAM), *words(server, folder)], env=environment(folder), stdout=subprocess.PIPE, text=True
    )
    try:
        assert terminal.stdout is not None
        assert str(folder / "so101") in terminal.stdout.readline()
        for line in clients:
            flags = forgiving(folder) if " deploy " in line else ()
            outcome = run(folder, *words(line, folder), *flags, answers="y\n")
            assert outcome.code == 0, (line, outcome)
        with ControlClient(control_path(folder / "so101")) as control:
            truth = dict(zip(arm.joint_names, control.truth().position.tolist(), strict=True))
            # The servos' position loops have no integral part, and calibration is by hand.
            assert truth["shoulder_pan"] == pytest.approx(0.3, abs=0.1)
            assert truth["shoulder_lift"] == pytest.approx(-0.8, abs=0.15)
        assert all(torque_at(folder / "so101"))
        assert run(folder, *words(release, folder), answers="y\n").code == 0
        assert not any(torque_at(folder / "so101"))
    finally:
        terminal.terminate()
        terminal.communicate()
    assert not (folder / "so101").exists()


def test_a_policy_of_ones_own(folder: Path) -> None:
    """As far as the deployment's question: what was learned in so few steps is not worth an answer."""
    *_, deployment, _ = EMULATED
    with VirtualArmProcess("so101_follower", link=folder / "so101") as process:
        calibrate(process, "so101_follower", folder / "so101.yaml")
        for line, shorter in LEARNING.items():
            outcome = run(folder, *words(line, folder), *shorter.split())
            assert outcome.code == 0, (line, outcome)
        outcome = run(folder, *words(deployment, folder))
    assert outcome.code == ConfigError.exit_code, outcome
    assert "standard input ended" in outcome.err
    assert f"policy bundle:{folder}/bundles/first moves the arm, 20 actions" in outcome.out.replace("\n", "")


@contextmanager
def held_up(process: VirtualArmProcess, name: str) -> Iterator[None]:
    """Somebody holds the limp arm up in the middle of its ranges, until the servos have torque."""
    control = ControlClient(control_path(Path(process.port)))
    hand = EmulatedHand(load_arm(name), ControlledArm(control), MonotonicClock(), print)
    done = threading.Event()

    def hold() -> None:
        while not (done.is_set() or control.truth().torque.all()):
            hand.hold_middle(tuple)

    hand.hold_middle(tuple)
    holder = threading.Thread(target=hold)
    holder.start()
    try:
        yield
    finally:
        done.set()
        holder.join()
        control.close()


def test_the_python_example(folder: Path) -> None:
    """It turns the first joint by 50 times 0.004 rad, holds, and prints six angles."""
    (example,) = python_blocks(ROOT / "docs" / "python.md")
    with VirtualArmProcess("so101_follower", link=folder / "python") as process:
        calibrate(process, "so101_follower", folder / "python.yaml")
        before = process.control.truth().position
        script = example.replace("/tmp/so101.yaml", str(folder / "python.yaml")).replace(LINK, str(folder / "python"))
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        after = process.control.truth()
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip("[]\n ").split()) == 6
    assert after.position[0] - before[0] == pytest.approx(50 * 0.004, abs=0.1)
    assert after.torque.all()


def test_the_commands_for_an_arm_of_ones_own(folder: Path) -> None:
    lines = [line for line in ON_HARDWARE if "setup-motors" not in line and "calibrate" not in line]
    *lines, first_move, second_move, deployment, release = lines
    with VirtualArmProcess("so101_follower", link=folder / "port") as process:
        default = folder / "data" / "robot_mbrl" / "calibration" / "so101_follower.yaml"
        default.parent.mkdir(parents=True)
        standing = calibrate(process, "so101_follower", default)
        for line in lines:
            outcome = run(folder, *words(line, folder), answers="y\n")
            assert outcome.code == 0, (line, outcome)
        with held_up(process, "so101_follower"):
            outcome = run(folder, *words(first_move, folder), answers="y\n")
            assert outcome.code == 0, (first_move, outcome)
        assert run(folder, *words(second_move, folder), answers="y\n").code == 0
        assert process.control.truth().position[:2] == pytest.approx([0.3, -0.8], abs=0.15)
        flags = ("--log-dir", str(folder / "own-logs"), "--session", f"test-readme-{os.getpid()}", "--seconds", "2")
        outcome = run(folder, *words(deployment, folder), *flags, *forgiving(folder), answers="y\n")
        assert outcome.code == 0, (deployment, outcome)
        assert all(standing.torque())
        parked = [joint.park_position for joint in standing.arm.joints]
        assert process.control.truth().position == pytest.approx(parked, abs=0.15)
        assert run(folder, *words(release, folder), answers="y\n").code == 0
        assert not any(standing.torque())


def test_the_program_alone(folder: Path) -> None:
    outcome = run(folder)
    assert outcome.code == 0, outcome
    assert "Your own arm" in outcome.out


def test_doctor_without_an_arm(folder: Path) -> None:
    assert "robot-mbrl doctor" in COMMANDS
    outcome = run(folder, "doctor")
    assert outcome.code == 0, outcome
    assert "mujoco" in outcome.out


def test_setup_motors(folder: Path) -> None:
    (line,) = (line for line in ON_HARDWARE if "setup-motors" in line)
    joints = ["gripper", "wrist_roll"]
    with VirtualArmProcess("so101_follower", link=folder / "port", factory=True) as process:
        standing = Standing(process, load_arm("so101_follower"), folder / "none.yaml")
        chosen = [flag for joint in joints for flag in ("--joint", joint)]
        assert set_up(standing, folder, [*words(line, folder), *chosen], joints) == 0
        for joint in joints:
            process.control.fault({"fault": "connect", "servo": joint})
            await_servo(standing, next(entry.id for entry in standing.arm.joints if entry.name == joint))
        found = run(folder, "scan", "--port", standing.port, "--protocol", "feetech", "--ids", "1-6", "--margin", "0.1")
    assert found.code == 0
    assert [row.split()[2] for row in found.out.splitlines() if "sts3215" in row] == ["5", "6"]


def test_calibrate_asks_for_hands(folder: Path) -> None:
    (line,) = (line for line in ON_HARDWARE if "calibrate" in line)
    with VirtualArmProcess("so101_follower", link=folder / "port") as process:
        outcome = run(folder, *words(line, folder), answers="\n\n")
        assert not any(Standing(process, load_arm("so101_follower"), folder).torque())
    assert "Hold EVERY joint in the middle" in outcome.out
    assert "shoulder_pan: move it from stop to stop" in outcome.out
    assert outcome.code == 4, "a joint that nobody moved is not calibrated"


def test_the_example_trajectory_on_the_twin(folder: Path) -> None:
    """Its first two seconds; `tests/policies` has looked at the rest."""
    (line,) = ON_THE_TWIN
    flags = ("--log-dir", str(folder / "logs"), "--session", f"test-readme-{os.getpid()}", "--seconds", "2")
    outcome = run(folder, *words(line, folder), *flags, *forgiving(folder), answers="y\n")
    assert outcome.code == 0, outcome
    assert "the run's 2 s are over" in outcome.out
