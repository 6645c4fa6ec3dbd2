"""Fuzz the servo codecs: damaged packet streams against both decoders and every parser.

    python -m robot_mbrl.benchmarks.fuzz_codecs --streams 1000000 --seed 1

Packets of every kind are damaged (bits flipped, bytes dropped or doubled, cut, spliced, surrounded by garbage), strung
together with unharmed ones, cut into chunks of any size and fed to both decoders. What must hold for each stream:

- decoders raise nothing, parsers nothing but `PacketValueError`;
- a decoder never holds back more than its longest packet, and nothing after `flush`;
- it counts no more broken headers than it was given bytes;
- after `flush` every unharmed packet was found, unless damaged bytes before it happen to form a correct packet that
  swallows its beginning; then, and for one stream in 16 always, the packets are those of a slow reference decoder.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from robot_mbrl.benchmarks import reference_decoders
from robot_mbrl.contracts.errors import PacketValueError
from robot_mbrl.drivers.dynamixel import codec as dynamixel
from robot_mbrl.drivers.feetech import codec as feetech

POOL_SIZE = 512
COMPARED_STREAMS = 16
LONGEST_FEETECH = 259
PATTERNS = (b"\xff", b"\xff\xff", b"\xff\xff\xfd", b"\xff\xff\xfd\x00", b"\xff\xff\xfd\xfd", b"\xff\xff\x01\xff")

Rng = np.random.Generator
Decoder = feetech.Decoder | dynamixel.Decoder
Packet = feetech.Packet | dynamixel.Packet
Parser = Callable[[bytes], object]

FEETECH_PARSERS: dict[int, Parser] = {
    feetech.Instruction.READ: feetech.parse_read,
    feetech.Instruction.WRITE: feetech.parse_write,
    feetech.Instruction.REG_WRITE: feetech.parse_write,
    feetech.Instruction.SYNC_READ: feetech.parse_sync_read,
    feetech.Instruction.SYNC_WRITE: feetech.parse_sync_write,
}
DYNAMIXEL_PARSERS: dict[int, Parser] = {
    dynamixel.Instruction.READ: dynamixel.parse_read,
    dynamixel.Instruction.WRITE: dynamixel.parse_write,
    dynamixel.Instruction.REG_WRITE: dynamixel.parse_write,
    dynamixel.Instruction.SYNC_READ: dynamixel.parse_sync_read,
    dynamixel.Instruction.FAST_SYNC_READ: dynamixel.parse_sync_read,
    dynamixel.Instruction.SYNC_WRITE: dynamixel.parse_sync_write,
    dynamixel.Instruction.BULK_READ: dynamixel.parse_bulk_read,
    dynamixel.Instruction.FAST_BULK_READ: dynamixel.parse_bulk_read,
    dynamixel.Instruction.BULK_WRITE: dynamixel.parse_bulk_write,
}
ALL_PARSERS = tuple({*FEETECH_PARSERS.values(), *DYNAMIXEL_PARSERS.values()})


class FuzzFailure(AssertionError):
    """A law did not hold; the text has the stream as hexadecimal digits."""


@dataclass
class FuzzReport:
    """Counts of one run."""

    streams: int = 0
    stream_bytes: int = 0
    unharmed: int = 0
    swallowed: int = 0
    compared: int = 0
    parsed: int = 0
    refused: int = 0
    broken_headers: int = 0
    seconds: float = field(default=0.0, compare=False)


def below(rng: Rng, limit: int) -> int:
    """A number of 0..limit - 1; four times as fast as `Generator.integers` for one number."""
    return int(rng.random() * limit)


def random_data(rng: Rng, size: int) -> bytes:
    """Bytes, often with patterns that look like headers and stuffing."""
    data = rng.bytes(size)
    if rng.random() < 0.3:
        pattern = PATTERNS[below(rng, len(PATTERNS))]
        place = below(rng, size + 1)
        return (data[:place] + pattern + data[place:])[:size]
    return data


def feetech_pool(rng: Rng) -> list[bytes]:
    """Packets of every kind."""
    pool: list[bytes] = []
    while len(pool) < POOL_SIZE:
        servo, address, size = below(rng, 254), below(rng, 87), 1 + below(rng, 15)
        ids = rng.choice(254, 1 + below(rng, 8), replace=False).tolist()
        pool += [
            feetech.ping(servo),
            feetech.read(servo, address, size),
            feetech.write(servo, address, random_data(rng, 1 + below(rng, 8))),
            feetech.reg_write(servo, address, random_data(rng, 1 + below(rng, 8))),
            feetech.action(),
            feetech.restore(servo),
            feetech.reboot(servo),
            feetech.sync_read(address, size, ids),
            feetech.sync_write(address, {i: random_data(rng, size) for i in ids}),
            *(feetech.status(servo, below(rng, 256), random_data(rng, below(rng, 17))) for _ in range(6)),
        ]
    return pool


def dynamixel_pool(rng: Rng) -> list[bytes]:
    """Packets of every kind."""
    pool: list[bytes] = []
    while len(pool) < POOL_SIZE:
        servo, address, size = below(rng, 253), below(rng, 660), 1 + below(rng, 15)
        ids = rng.choice(253, 1 + below(rng, 8), replace=False).tolist()
        pool += [
            dynamixel.ping(servo),
            dynamixel.read(servo, address, size),
            dynamixel.write(servo, address, random_data(rng, 1 + below(rng, 8))),
            dynamixel.reg_write(servo, address, random_data(rng, 1 + below(rng, 8))),
            dynamixel.action(),
            dynamixel.factory_reset(servo),
            dynamixel.reboot(servo),
            dynamixel.clear(servo),
            dynamixel.sync_read(address, size, ids),
            dynamixel.fast_sync_read(address, size, ids),
            dynamixel.sync_write(address, {i: random_data(rng, size) for i in ids}),
            dynamixel.bulk_read([(i, below(rng, 660), 1 + below(rng, 12)) for i in ids]),
            dynamixel.fast_bulk_read([(i, below(rng, 660), 1 + below(rng, 12)) for i in ids]),
            dynamixel.bulk_write([(i, below(rng, 660), random_data(rng, 1 + below(rng, 8))) for i in ids]),
            *(dynamixel.status(servo, below(rng, 256), random_data(rng, below(rng, 17))) for _ in range(6)),
            *(dynamixel.fast_status([(below(rng, 256), i, random_data(rng, size)) for i in ids]) for _ in range(2)),
        ]
    return pool


def flipped(rng: Rng, packet: bytes, _: bytes) -> bytes:
    """One bit is wrong."""
    place = below(rng, len(packet))
    return packet[:place] + bytes((packet[place] ^ 1 << below(rng, 8),)) + packet[place + 1 :]


def dropped(rng: Rng, packet: bytes, _: bytes) -> bytes:
    """Some bytes are lost."""
    place = below(rng, len(packet))
    return packet[:place] + packet[place + 1 + below(rng, 4) :]


def doubled(rng: Rng, packet: bytes, _: bytes) -> bytes:
    """Some bytes come twice."""
    place = below(rng, len(packet))
    return packet[: place + 1] + packet[max(0, place - below(rng, 4)) :]


def truncated(rng: Rng, packet: bytes, _: bytes) -> bytes:
    """The end is lost."""
    return packet[: below(rng, len(packet))]


def spliced(rng: Rng, packet: bytes, other: bytes) -> bytes:
    """The beginning of one packet and the end of another."""
    return packet[: below(rng, len(packet))] + other[below(rng, len(other)) :]


def interrupted(rng: Rng, packet: bytes, other: bytes) -> bytes:
    """A whole packet inside another."""
    place = below(rng, len(packet))
    return packet[:place] + other + packet[place:]


def replaced(rng: Rng, _packet: bytes, _other: bytes) -> bytes:
    """Noise in place of the packet."""
    return random_data(rng, 1 + below(rng, 24))


MISHAPS = (flipped, dropped, doubled, truncated, spliced, interrupted, replaced)


def chunks(rng: Rng, stream: bytes) -> Iterator[bytes]:
    """`stream` cut at random places."""
    cuts = sorted(below(rng, len(stream) + 1) for _ in range(below(rng, 5)))
    start = 0
    for cut in cuts:
        yield stream[start:cut]
        start = cut
    yield stream[start:]


def parse(packet: Packet) -> object:
    """Put a packet through the parser that it is meant for, if there is one."""
    if isinstance(packet, feetech.Packet):
        parser = FEETECH_PARSERS.get(packet.code)
    elif packet.id == dynamixel.BROADCAST_ID and packet.instruction == dynamixel.Instruction.STATUS:
        return dynamixel.parse_fast_status(packet, 1 + len(packet.params) % 15)
    else:
        parser = DYNAMIXEL_PARSERS.get(packet.instruction)
    return parser and parser(packet.params)


def decode(decoder: Decoder, pieces: Iterator[bytes], longest: int, report: FuzzReport) -> list[Packet]:
    """All packets of a stream; checks that the decoder's memory and counts are bounded."""
    packets: list[Packet] = []
    fed = 0
    for piece in pieces:
        packets += decoder.feed(piece)
        fed += len(piece)
        if not decoder.pending < longest:
            raise FuzzFailure(f"{decoder.pending} bytes are held back, the longest packet has {longest}")
    packets += decoder.flush()
    broken = decoder.broken
    if decoder.pending or not 0 <= decoder.garbage_bytes + broken <= 2 * fed:
        raise FuzzFailure(f"{decoder.pending} pending, {decoder.garbage_bytes} garbage, {broken} broken of {fed} bytes")
    report.broken_headers += broken
    return packets


def is_subsequence(part: Sequence[Packet], whole: Sequence[Packet]) -> bool:
    """Whether all of `part` is in `whole`, in order."""
    remaining = iter(whole)
    return all(packet in remaining for packet in part)


class Fuzzer:
    """Makes streams and checks what becomes of them."""

    def __init__(self, seed: int) -> None:
        self.report = FuzzReport()
        self._rng = np.random.default_rng(seed)
        self._feetech = [(wire, feetech.scan(wire).packets[0]) for wire in feetech_pool(self._rng)]
        self._dynamixel = [(wire, dynamixel.scan(wire).packets[0]) for wire in dynamixel_pool(self._rng)]

    def step(self) -> None:
        """One stream."""
        self.report.streams += 1
        is_feetech = self.report.streams % 2 == 0
        stream, unharmed = self._stream(self._feetech if is_feetech else self._dynamixel)
        try:
            self._check(stream, unharmed, is_feetech)
        except Exception as error:
            raise FuzzFailure(f"{error!r} at stream {stream.hex()}") from error

    def _stream(self, pool: Sequence[tuple[bytes, Packet]]) -> tuple[bytes, list[Packet]]:
        """Damaged and unharmed packets in a row, and the unharmed ones."""
        rng = self._rng
        parts: list[bytes] = []
        unharmed: list[Packet] = []
        for _ in range(1 + below(rng, 6)):
            wire, packet = pool[below(rng, len(pool))]
            if rng.random() < 0.5:
                parts.append(wire)
                unharmed.append(packet)
            else:
                mishap = MISHAPS[below(rng, len(MISHAPS))]
                parts.append(mishap(rng, wire, pool[below(rng, len(pool))][0]))
        return b"".join(parts), unharmed

    def _check(self, stream: bytes, unharmed: list[Packet], is_feetech: bool) -> None:
        rng, report = self._rng, self.report
        of_feetech = decode(feetech.Decoder(), chunks(rng, stream), LONGEST_FEETECH, report)
        of_dynamixel = decode(dynamixel.Decoder(), chunks(rng, stream), dynamixel.MAX_PACKET_SIZE, report)
        for packet in (*of_feetech, *of_dynamixel):
            self._try(parse, packet)
        params = self._damaged_params(is_feetech)
        for parser in ALL_PARSERS:
            self._try(parser, params)
        all_found = is_subsequence(unharmed, of_feetech if is_feetech else of_dynamixel)
        report.stream_bytes += len(stream)
        report.unharmed += len(unharmed)
        report.swallowed += not all_found
        if not all_found or report.streams % COMPARED_STREAMS < 2:
            self._compare(stream, of_feetech, of_dynamixel)

    def _compare(self, stream: bytes, of_feetech: list[Packet], of_dynamixel: list[Packet]) -> None:
        self.report.compared += 1
        expected = reference_decoders.feetech_packets(stream)
        if of_feetech != expected:
            raise FuzzFailure(f"Feetech packets {of_feetech} are not {expected}")
        reference = reference_decoders.dynamixel_packets(stream, dynamixel.MAX_PACKET_SIZE)
        if of_dynamixel != reference:
            raise FuzzFailure(f"Dynamixel packets {of_dynamixel} are not {reference}")

    def _damaged_params(self, is_feetech: bool) -> bytes:
        rng = self._rng
        pool = self._feetech if is_feetech else self._dynamixel
        one, other = (pool[below(rng, len(pool))][1].params or b"\x00" for _ in range(2))
        return MISHAPS[below(rng, len(MISHAPS))](rng, one, other)

    def _try(self, parser: Callable[[Any], object], argument: object) -> None:
        self.report.parsed += 1
        try:
            parser(argument)
        except PacketValueError:
            self.report.refused += 1


def fuzz(streams: int, seed: int, on_progress: Callable[[int], None] | None = None) -> FuzzReport:
    """Run `streams` streams.

    Raises:
        FuzzFailure: a law did not hold.
    """
    fuzzer = Fuzzer(seed)
    started = time.perf_counter()
    for done in range(1, streams + 1):
        fuzzer.step()
        if on_progress and done % 1000 == 0:
            on_progress(done)
    fuzzer.report.seconds = time.perf_counter() - started
    return fuzzer.report


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Fuzz the servo codecs with damaged packet streams.")
    parser.add_argument("--streams", type=int, default=1_000_000, help="streams to run (default 1000000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random streams (default 1)")
    options = parser.parse_args(arguments)
    console = Console()
    with Progress(console=console) as progress:
        task = progress.add_task("fuzzing the codecs", total=options.streams)
        try:
            report = fuzz(options.streams, options.seed, lambda done: progress.update(task, completed=done))
        except FuzzFailure as failure:
            console.print(f"seed {options.seed}: {failure}", markup=False)
            return 1
        progress.update(task, completed=options.streams)
    console.print(
        f"{report.streams:,} streams, {report.stream_bytes:,} bytes in {report.seconds:.0f} s: no law broken\n"
        f"{report.unharmed:,} unharmed packets, {report.broken_headers:,} broken headers\n"
        f"{report.swallowed:,} streams in which damaged bytes formed a packet by chance\n"
        f"{report.parsed:,} calls of parsers, {report.refused:,} refused\n"
        f"{report.compared:,} streams compared with the reference decoders"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
