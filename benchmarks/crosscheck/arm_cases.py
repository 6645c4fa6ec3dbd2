"""What a peer does with an emulated arm: scan, read, write, sync read, sync write, torque, motion.

In every case the bytes that the peer sends are those that our codec makes of the same instruction, our decoder finds
in the answers what the peer finds in them, and positions agree with the physics to one tick.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from robot_mbrl.benchmarks.crosscheck.bench import Bench
from robot_mbrl.benchmarks.crosscheck.case import require, require_same
from robot_mbrl.contracts.errors import BusTimeout
from robot_mbrl.drivers.bus import Answer, ServoBus
from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.registers import Register

SCAN_DEADLINE = 20.0
"""[s]"""
REBOOT_DEADLINE = 10.0
"""[s]"""
POSES = (np.array([-0.7, -1.0, 0.9, 0.2, 1.1, 0.4]), np.array([0.5, -1.2, 1.1, 0.4, -0.8, 0.8]))
"""Postures in free air, above the table [rad]."""


def scan(bench: Bench) -> str:
    """Every servo of the arm is found with its model, and nobody else.

    rustypot scans with a time-out of its own, of a few milliseconds, that cannot be set. So that a machine that is
    late does not fail the case, scans add up; one is enough otherwise.
    """
    absent = max(bench.ids) + 1
    models = {joint.id: control_table(joint.servo).model_number for joint in bench.arm.joints}
    found: dict[int, int] = {}
    scans, deadline = 0, time.monotonic() + SCAN_DEADLINE
    while found.keys() < models.keys() and time.monotonic() < deadline:
        bench.reset()
        found.update(bench.exchange("scan", _scan_packets(bench, absent), ids=[*bench.ids, absent])[0])
        scans += 1
    require_same("servos found", found, models)
    return f"{len(found)} servos, nobody at ID {absent}" + (f", in {scans} scans" if scans > 1 else "")


def _scan_packets(bench: Bench, absent: int) -> list[bytes]:
    """How each peer looks for servos."""
    wire, model = bench.wire, bench.register("model_number")
    if bench.name == "rustypot":
        return [wire.read(servo_id, model.address, model.size) for servo_id in [*bench.ids, absent]]
    if bench.arm.protocol == "dynamixel":
        return [wire.ping(servo_id) for servo_id in [*bench.ids, absent]]
    pairs = [[wire.ping(servo_id), wire.read(servo_id, model.address, model.size)] for servo_id in bench.ids]
    return [packet for pair in pairs for packet in pair] + [wire.ping(absent)]


def ping(bench: Bench) -> str:
    """A ping is answered, and ours has the same bytes."""
    for joint in bench.arm.joints:
        value, answers = bench.exchange("ping", [bench.wire.ping(joint.id)], servo_id=joint.id)
        require(bool(value), f"no answer from ID {joint.id}")
        require_same("who answered", [answer.id for answer in answers], [joint.id])
    return "same bytes, every servo answers"


def broadcast_ping(bench: Bench) -> str:
    """All servos answer one ping."""
    models = [[joint.id, control_table(joint.servo).model_number] for joint in bench.arm.joints]
    request = bench.wire.ping(0xFE)
    if bench.name == "rustypot":
        model = bench.register("model_number")
        reads = [bench.wire.read(servo_id, model.address, model.size) for servo_id in bench.ids]
        found, _ = bench.exchange("broadcast_ping", [request, *reads], ids=bench.ids)
    else:
        found = bench.exchange("broadcast_ping", [request])[0]["found"]
    require_same("servos found", found, models)
    return f"{len(found)} servos answer"


def read(bench: Bench) -> str:
    """Single reads of the position: bytes, values and physics agree."""
    position = bench.register("present_position")

    def one(servo_id: int) -> list[int]:
        packet = bench.wire.read(servo_id, position.address, position.size)
        value, answers = bench.exchange(
            "read", [packet], servo_id=servo_id, address=position.address, size=position.size
        )
        data = bytes(value["data"])
        require_same("our decoding", answers, [Answer(servo_id, value["error"], data)])
        return [position.decode(data)]

    ticks = [
        bench.physics.read_at_rest(partial(one, servo_id), slice(index, index + 1))[0]
        for index, servo_id in enumerate(bench.ids)
    ]
    return f"positions {ticks} within 1 tick of physics"


def read_whole_table(bench: Bench) -> str:
    """EEPROM as the peer reads it is EEPROM as our bus reads it, byte for byte."""
    theirs = []
    size = min(bench.table.eeprom_end, 64)
    for servo_id in bench.ids:
        value, answers = bench.exchange(
            "read", [bench.wire.read(servo_id, 0, size)], servo_id=servo_id, address=0, size=size
        )
        require_same("our decoding", answers, [Answer(servo_id, value["error"], bytes(value["data"]))])
        theirs.append(bytes(value["data"]))
    ours = bench.with_our_bus(lambda bus: [bus.read(servo_id, 0, size) for servo_id in bench.ids])
    require_same("EEPROM", theirs, ours)
    return f"{size} bytes of {len(bench.ids)} servos, the same for both"


def write(bench: Bench) -> str:
    """A written register holds what was written, as the peer and as our bus read it."""
    register = bench.register("acceleration" if bench.arm.protocol == "feetech" else "profile_acceleration")
    wanted = {servo_id: register.encode(100 + servo_id) for servo_id in bench.ids}
    for servo_id, data in wanted.items():
        packet = bench.wire.write(servo_id, register.address, data)
        value, answers = bench.exchange("write", [packet], servo_id=servo_id, address=register.address, data=list(data))
        require_same("our decoding", answers, [Answer(servo_id, value["error"], b"")])
        require_same("error byte", value["error"], 0)
    ours = bench.with_our_bus(lambda bus: bus.sync_read(register.address, register.size, bench.ids))
    require_same(f"{register.name} as our bus reads it", ours, wanted)
    return f"{register.name} {[register.decode(data) for data in ours.values()]}"


def sync_read(bench: Bench) -> str:
    """One sync read of everything that is measured."""
    return _read_together(bench, "sync_read", bench.wire.sync_read)


def fast_sync_read(bench: Bench) -> str:
    """One fast sync read of everything that is measured."""
    return _read_together(bench, "fast_sync_read", bench.wire.fast_sync_read)


def _read_together(bench: Bench, verb: str, instruction: Callable[[int, int, Sequence[int]], bytes]) -> str:
    first = bench.register("present_position" if bench.arm.protocol == "feetech" else "present_pwm")
    last = bench.register("present_temperature")
    address, size = first.address, last.address + last.size - first.address
    position = bench.register("present_position")
    start = position.address - address
    packet = instruction(address, size, bench.ids)

    def all_positions() -> list[int]:
        fast_size = size if verb == "fast_sync_read" else 0
        value, answers = bench.exchange(verb, [packet], fast_size, ids=bench.ids, address=address, size=size)
        found = [(answer.id, list(answer.data)) for answer in answers]
        require_same("our decoding", found, list(zip(bench.ids, value, strict=True)))
        return [position.decode(answer.data[start : start + position.size]) for answer in answers]

    bench.physics.read_at_rest(all_positions)
    return f"{size} bytes of {len(bench.ids)} servos, positions within 1 tick of physics"


def bulk_read(bench: Bench) -> str:
    """Different registers of different servos at once."""
    names = ("present_position", "present_velocity", "goal_position", "model_number", "id", "present_temperature")
    registers = [bench.register(name) for name in names]
    items = [
        (servo_id, register.address, register.size) for servo_id, register in zip(bench.ids, registers, strict=True)
    ]
    value, answers = bench.exchange("bulk_read", [bench.wire.bulk_read(items)], items=items)
    require_same("our decoding", [list(answer.data) for answer in answers], value)
    require_same("ID in the table", value[names.index("id")], [bench.ids[names.index("id")]])
    return f"{len(items)} servos, another register each"


def torque_on(bench: Bench) -> str:
    """Goals from positions, then torque, by single writes; the arm stays where physics holds it."""
    torque, goal = bench.register("torque_enable"), bench.register("goal_position")
    position = bench.register("present_position")
    for servo_id in bench.ids:
        present = bytes(
            bench.peer.call("read", servo_id=servo_id, address=position.address, size=position.size)["data"]
        )
        bench.peer.call("write", servo_id=servo_id, address=goal.address, data=list(present))
        bench.tap.take(0)
        packet = bench.wire.write(servo_id, torque.address, torque.encode(1))
        value, _ = bench.exchange("write", [packet], servo_id=servo_id, address=torque.address, data=[1])
        require_same("error byte", value["error"], 0)
    return _require_torque(bench, 1)


def torque_off(bench: Bench) -> str:
    """Torque off by one sync write."""
    torque = bench.register("torque_enable")
    packet = bench.wire.sync_write(torque.address, dict.fromkeys(bench.ids, torque.encode(0)))
    values = [[0]] * len(bench.ids)
    bench.exchange("sync_write", [packet], ids=bench.ids, address=torque.address, values=values)
    return _require_torque(bench, 0)


def _require_torque(bench: Bench, wanted: int) -> str:
    torque = bench.register("torque_enable")
    states = bench.with_our_bus(lambda bus: bus.sync_read(torque.address, torque.size, bench.ids))
    require_same("torque as our bus reads it", [state[0] for state in states.values()], [wanted] * len(bench.ids))
    return f"torque {'on' if wanted else 'off'}, as our bus reads it"


def move(bench: Bench) -> str:
    """Goals by one sync write; the arm goes there, and peer, our bus and physics agree on where that is."""
    goal, position = bench.register("goal_position"), bench.register("present_position")
    start = bench.physics.look().position
    joints = bench.arm.joints
    pose = max(POSES, key=lambda pose: float(np.abs(pose - start).max()))
    ticks = [joint.nominal_map.to_tick(angle) for joint, angle in zip(joints, pose.tolist(), strict=True)]
    data = {servo_id: goal.encode(tick) for servo_id, tick in zip(bench.ids, ticks, strict=True)}
    values = [list(part) for part in data.values()]
    packet = bench.wire.sync_write(goal.address, data)
    bench.exchange("sync_write", [packet], ids=bench.ids, address=goal.address, values=values)
    end = bench.physics.wait_for_arrival(pose)
    place = {"address": position.address, "size": position.size}
    request = bench.wire.sync_read(ids=bench.ids, **place)

    def theirs() -> list[int]:
        return [
            position.decode(bytes(part)) for part in bench.exchange("sync_read", [request], ids=bench.ids, **place)[0]
        ]

    def ours(bus: ServoBus) -> Sequence[int]:
        return bench.physics.read_at_rest(
            lambda: [position.decode(part) for part in bus.sync_read(ids=bench.ids, **place).values()]
        )

    bench.physics.read_at_rest(theirs)
    bench.with_our_bus(ours)
    return f"moved by {np.abs(end - start).max():.2f} rad; peer, our bus and physics agree to 1 tick"


def reg_write(bench: Bench) -> str:
    """Registered goals wait for the action, and take hold with it."""
    goal = bench.register("goal_position")
    goals = bench.with_our_bus(lambda bus: bus.sync_read(goal.address, goal.size, bench.ids))
    wanted = {servo_id: goal.encode(goal.decode(data) + 5) for servo_id, data in goals.items()}
    for servo_id, data in wanted.items():
        packet = bench.wire.reg_write(servo_id, goal.address, data)
        value, _ = bench.exchange("reg_write", [packet], servo_id=servo_id, address=goal.address, data=list(data))
        require_same("error byte", value["error"], 0)
    waiting = bench.with_our_bus(lambda bus: bus.sync_read(goal.address, goal.size, bench.ids))
    require_same("goals before the action", waiting, goals)
    bench.exchange("action", [bench.wire.action()])
    acted = bench.with_our_bus(lambda bus: bus.sync_read(goal.address, goal.size, bench.ids))
    require_same("goals after the action", acted, wanted)
    return "goals wait for the action"


def stuffed_register(bench: Bench) -> str:
    """A homing offset whose bytes hold FF FF FD travels stuffed, both ways.

    rustypot writes it; dynamixel-sdk does not stuff what it sends (fault 1), so for it our bus writes.
    """
    register, servo_id = bench.register("homing_offset"), bench.ids[0]
    place = {"servo_id": servo_id, "address": register.address}
    data = register.encode(-131073)
    try:
        if bench.name == "rustypot":
            bench.exchange("write", [bench.wire.write(servo_id, register.address, data)], data=list(data), **place)
        else:
            bench.with_our_bus(lambda bus: bus.write(data=data, **place))
        asked = [bench.wire.read(servo_id, register.address, register.size)]
        value, answers = bench.exchange("read", asked, size=register.size, **place)
    finally:
        bench.with_our_bus(lambda bus: bus.write(data=register.encode(0), **place))
    require_same("homing offset as the peer reads it", bytes(value["data"]), data)
    require_same("our decoding", answers, [Answer(servo_id, 0, data)])
    return f"homing offset {data.hex(' ')} arrives whole"


def reboot(bench: Bench) -> str:
    """A rebooted servo forgets what is kept in RAM only."""
    register = bench.register("profile_acceleration")
    servo_id = bench.ids[-1]
    bench.peer.call("write", servo_id=servo_id, address=register.address, data=list(register.encode(77)))
    bench.tap.take(0)
    bench.exchange("reboot", [bench.wire.reboot(servo_id)], servo_id=servo_id)
    value = bench.with_our_bus(lambda bus: _read_when_back(bus, servo_id, register))
    require_same(register.name, value, register.default)
    return f"{register.name} is back at {register.default}"


def _read_when_back(bus: ServoBus, servo_id: int, register: Register) -> int:
    deadline = time.monotonic() + REBOOT_DEADLINE
    while True:
        try:
            return bus.read_register(servo_id, register)
        except BusTimeout:
            if time.monotonic() > deadline:
                raise


def pace(bench: Bench) -> str:
    """No answer comes sooner than its bytes can be on the wire (a pty alone has no pace)."""
    position = bench.register("present_position")
    request = bench.wire.sync_read(position.address, position.size, bench.ids)
    count = len(request) + len(bench.ids) * (bench.wire.overhead + position.size)
    least = count * 10 / bench.arm.baud
    times = bench.peer.call("stopwatch", rounds=50, ids=bench.ids, address=position.address, size=position.size)
    bench.tap.take(50 * len(request))
    fastest = min(wall for wall, _ in times) / 1e9
    require(fastest >= least, f"a sync read took {fastest * 1e3:.3f} ms, its {count} bytes need {least * 1e3:.3f} ms")
    return f"fastest of 50 sync reads {fastest * 1e3:.2f} ms, the wire needs {least * 1e3:.2f} ms"


def control_tables(bench: Bench) -> str:
    """Addresses, sizes and sign bits in the peer's own tables are those in ours.

    Indirect data are left out: rustypot has them where the XL330 had them before firmware 52.
    """
    compared = 0
    for servo in sorted({joint.servo for joint in bench.arm.joints}):
        ours = {register.name: register for register in control_table(servo)}
        by_address = {register.address: register for register in ours.values()}
        for name, address, size, sign_bit in bench.peer.call("registers", servo=servo):
            if name.startswith("indirect_"):
                continue
            if name in ours:
                require_same(f"address of {servo} {name} in ours", ours[name].address, address)
            if address in by_address:
                register = by_address[address]
                require_same(f"size of {servo} {register.name} in ours", register.size, size)
                require(sign_bit in (0, register.sign_bit), f"{servo} {name}: sign bit {sign_bit} is not ours")
                compared += 1
    require(compared > 0, "no register is in both tables")
    return f"{compared} registers at the same address with the same size"


ArmCase = Callable[[Bench], str]

_COMMON: tuple[ArmCase, ...] = (scan, read, read_whole_table, write, sync_read, pace, torque_on, move, torque_off)

ARM_CASES: Mapping[str, Mapping[str, Sequence[ArmCase]]] = {
    "so101_follower": {
        "feetech-servo-sdk": (*_COMMON, reg_write),
        "ftservo-python-sdk": (*_COMMON, reg_write),
        "rustypot": (control_tables, ping, *_COMMON),
    },
    "koch_follower": {
        "dynamixel-sdk": (
            control_tables,
            ping,
            broadcast_ping,
            *_COMMON,
            fast_sync_read,
            bulk_read,
            reg_write,
            stuffed_register,
            reboot,
        ),
        "rustypot": (control_tables, ping, broadcast_ping, *_COMMON, fast_sync_read, stuffed_register, reboot),
    },
}
"""What each peer does with each arm, in this order."""
