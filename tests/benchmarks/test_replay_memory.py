"""The replay's benchmark: a small run gives figures that add up."""

from robot_mbrl.benchmarks.replay_memory import measure, resident_peak, table


def test_a_small_replay_is_measured_in_a_process_of_its_own() -> None:
    figures = measure(4800, 5)
    assert figures["steps"] == 4800
    assert figures["resident_before"] < figures["resident_peak"] < figures["resident_bound"]
    assert "4,800 (0.0" in table(figures)


def test_memory_that_is_written_to_is_resident() -> None:
    before = resident_peak()
    size = before + 50_000_000
    block = bytearray(b"1") * size
    assert resident_peak() > len(block)
