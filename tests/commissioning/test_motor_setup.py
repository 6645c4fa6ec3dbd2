"""Setting IDs on emulated servos behind a real pty: refusals, and that repeating it is harmless."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from robot_mbrl.commissioning import motor_setup
from robot_mbrl.commissioning.motor_setup import MotorSetup
from robot_mbrl.commissioning.operator import Reading
from robot_mbrl.commissioning.servo_search import UNHURRIED
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.errors import BusTimeout, DuplicateId, InstructionRejected, ModelMismatch, NotReady
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.drivers.bus import ServoBus, open_bus
from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.registers import Register
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess

IDS = range(8)
ARM = load_arm("so101_follower")
GRIPPER = ARM.joints[-1]
TABLE = control_table("sts3215")


class Bench:
    """An operator who has connected what is connected."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, text: str) -> None:
        self.told.append(text)

    def confirm(self, question: str) -> bool:
        raise AssertionError(question)

    def wait(self, request: str) -> None:
        self.told.append(request)

    def hold_middle(self, sample: Callable[[], Reading]) -> None:
        raise AssertionError(sample())

    def sweep(self, joint: str, sample: Callable[[], Reading]) -> None:
        raise AssertionError(joint, sample())


def setup(port: str, bench: Bench, arm: ArmDefinition = ARM) -> MotorSetup:
    return MotorSetup(arm, port, bench, MonotonicClock(), ids=IDS)


@contextmanager
def bus_of(process: VirtualArmProcess) -> Iterator[ServoBus]:
    bus = open_bus(process.port, ARM.protocol, ARM.baud, MonotonicClock(), UNHURRIED)
    yield bus
    bus.close()


@pytest.fixture(scope="module")
def gripper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualArmProcess]:
    """An arm of which only the gripper is connected."""
    link = tmp_path_factory.mktemp("setup") / "port"
    with VirtualArmProcess("so101_follower", link=link, connected=("gripper",)) as process:
        yield process


def set_id(process: VirtualArmProcess, old: int, new: int) -> None:
    with bus_of(process) as bus:
        bus.write_register(old, TABLE["lock"], 0)
        bus.sync_write(TABLE["id"].address, {old: bytes([new])})
        bus.write_register(new, TABLE["lock"], 1)


def test_what_is_right_is_left_alone(gripper: VirtualArmProcess) -> None:
    bench = Bench()
    setup(gripper.port, bench).run([GRIPPER])
    assert bench.told[-1] == "gripper: has ID 6 and 1000000 baud already, left alone"


def test_the_id_lasts_and_a_second_run_finds_nothing_to_do(gripper: VirtualArmProcess) -> None:
    set_id(gripper, 6, 1)
    first, second = Bench(), Bench()
    setup(gripper.port, first).run([GRIPPER])
    setup(gripper.port, second).run([GRIPPER])
    assert first.told[-1] == "gripper: ID 1 -> 6, 1000000 -> 1000000 baud, read back"
    assert "already" in second.told[-1]
    with bus_of(gripper) as bus:
        assert bus.read_register(6, TABLE["lock"]) == 1


def test_a_set_up_that_fails_half_way_leaves_the_memory_locked_and_tells_the_first_error(
    gripper: VirtualArmProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_the_baud_rate(bus: ServoBus, servo_id: int, register: Register, value: int) -> None:
        if register.name == "baud_rate":
            raise InstructionRejected(f"servo {servo_id} refused the baud rate")
        bus.write_register(servo_id, register, value)

    set_id(gripper, 6, 3)
    with monkeypatch.context() as patch:
        patch.setattr(motor_setup, "_write_unheard", refuse_the_baud_rate)
        with pytest.raises(InstructionRejected, match="refused the baud rate"):
            setup(gripper.port, Bench()).run([GRIPPER])
    with bus_of(gripper) as bus:
        assert bus.read_register(6, TABLE["lock"]) == 1


def test_a_memory_that_was_left_unlocked_is_locked_by_the_next_run(gripper: VirtualArmProcess) -> None:
    with bus_of(gripper) as bus:
        bus.write_register(6, TABLE["lock"], 0)
    bench = Bench()
    setup(gripper.port, bench).run([GRIPPER])
    assert bench.told[-1] == "gripper: has ID 6 and 1000000 baud already, its memory was unlocked and is locked again"
    with bus_of(gripper) as bus:
        assert bus.read_register(6, TABLE["lock"]) == 1


def test_the_baud_rate_is_set_too(gripper: VirtualArmProcess) -> None:
    slower = ARM.model_copy(update={"baud": 500_000})
    bench = Bench()
    setup(gripper.port, bench, slower).run([GRIPPER])
    assert "1000000 -> 500000 baud" in bench.told[-1]
    setup(gripper.port, bench).run([GRIPPER])
    assert "500000 -> 1000000 baud" in bench.told[-1]


def test_a_servo_with_torque_is_refused_and_keeps_it(gripper: VirtualArmProcess) -> None:
    set_id(gripper, 6, 2)
    with bus_of(gripper) as bus:
        bus.write_register(2, TABLE["torque_enable"], 1)
    with pytest.raises(NotReady, match="gripper: the torque of the servo with ID 2 is on"):
        setup(gripper.port, Bench()).run([GRIPPER])
    with bus_of(gripper) as bus:
        assert bus.read_register(2, TABLE["torque_enable"]) == 1
        assert bus.read_register(2, TABLE["id"]) == 2
        bus.write_register(2, TABLE["torque_enable"], 0)
    set_id(gripper, 2, 6)


def test_another_model_is_refused(gripper: VirtualArmProcess) -> None:
    # The same servo at the place where the definition has another one.
    other = GRIPPER.model_copy(update={"servo": "xl330-m288"})
    with pytest.raises(ModelMismatch, match=r"gripper: the connected servo \(ID 6\) is sts3215.*xl330-m288"):
        setup(gripper.port, Bench()).run([other])


def test_two_servos_at_once_are_refused(tmp_path: Path) -> None:
    link = tmp_path / "port"
    with (
        VirtualArmProcess("so101_follower", link=link, connected=("gripper", "wrist_roll")) as process,
        pytest.raises(DuplicateId, match=r"2 servos answer on .* \(IDs 5, 6\): connect one servo at a time"),
    ):
        setup(process.port, Bench()).run([GRIPPER])


def test_nobody_there_is_said_with_all_that_was_tried(tmp_path: Path) -> None:
    link = tmp_path / "port"
    with (
        VirtualArmProcess("so101_follower", link=link, connected=()) as process,
        pytest.raises(BusTimeout, match=r"no servo answers on .*1000000 baud.*38400 baud.*check power"),
    ):
        setup(process.port, Bench()).run([GRIPPER])
