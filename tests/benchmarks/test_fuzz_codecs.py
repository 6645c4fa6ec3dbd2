"""A short run of the fuzzer, and proof that it can fail."""

import pytest

from robot_mbrl.benchmarks.fuzz_codecs import FuzzFailure, fuzz
from robot_mbrl.drivers.dynamixel import codec as dynamixel
from robot_mbrl.drivers.feetech import codec as feetech


def test_20_000_damaged_streams_break_no_law() -> None:
    report = fuzz(20_000, seed=20_000)
    assert report.streams == 20_000
    assert report.broken_headers > 10_000
    assert report.unharmed > 30_000
    assert report.compared > 2_400
    assert 0 < report.refused < report.parsed
    # A one-byte checksum is right by chance once in 256 times; most of the damage leaves no false header.
    assert report.swallowed < 100


def test_the_same_seed_gives_the_same_run() -> None:
    assert fuzz(200, seed=5) == fuzz(200, seed=5)


@pytest.mark.parametrize("decoder", [feetech.Decoder, dynamixel.Decoder])
def test_a_decoder_that_drops_what_a_false_header_hides_is_caught(
    decoder: type[feetech.Decoder | dynamixel.Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(self: feetech.Decoder | dynamixel.Decoder) -> list[object]:
        self.reset()
        return []

    monkeypatch.setattr(decoder, "flush", forget)
    with pytest.raises(FuzzFailure, match="packets"):
        fuzz(2_000, seed=1)


def test_a_parser_that_trips_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def trip(params: bytes) -> int:
        return params[3]

    monkeypatch.setattr("robot_mbrl.benchmarks.fuzz_codecs.ALL_PARSERS", (trip,))
    with pytest.raises(FuzzFailure, match="IndexError"):
        fuzz(2_000, seed=1)
