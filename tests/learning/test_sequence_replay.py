"""Sequence replay: windows, their order, latents written back, and going back to a save."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError, SimulationError
from robot_mbrl.learning.sequence_replay import SequenceBatch, SequenceReplay
from tests.learning.replays import SPACES, fill, latent, open_replay, resident, step


def test_a_window_holds_consecutive_rows_and_the_latent_before_them(tmp_path: Path) -> None:
    replay = open_replay(tmp_path)
    fill(replay, 60)
    batch = replay.sample(40, 7)
    rows = batch.rows[:, None] + np.arange(7)
    assert np.array_equal(batch.fields["observation"][..., 0], np.broadcast_to(batch.streams[:, None], (40, 7)))
    assert np.array_equal(batch.fields["observation"][..., 1], rows)
    assert np.array_equal(batch.fields["is_first"], rows % 10 == 0)
    assert np.array_equal(batch.fields["is_terminal"], rows % 20 == 19)
    before = latent(batch.rows - 1)
    assert np.array_equal(batch.fields["deter"], before["deter"])
    assert np.array_equal(batch.fields["stoch"], before["stoch"])
    replay.close()


def test_new_rows_are_replayed_first_once_and_without_overlap(tmp_path: Path) -> None:
    replay = open_replay(tmp_path)
    fill(replay, 41)
    batch = replay.sample(8, 10)
    assert sorted(zip(batch.streams.tolist(), batch.rows.tolist(), strict=True)) == [
        (stream, first) for stream in (0, 1) for first in (1, 11, 21, 31)
    ]
    fill(replay, 10)
    batch = replay.sample(5, 10)
    assert sorted(zip(batch.streams[:2].tolist(), batch.rows[:2].tolist(), strict=True)) == [(0, 41), (1, 41)]
    replay.close()


def test_the_rest_of_a_batch_is_uniform_over_all_windows(tmp_path: Path) -> None:
    replay = open_replay(tmp_path)
    fill(replay, 16)
    only_the_first = np.array([0])
    for _ in range(5):
        rows = replay.counts[:1]
        replay.add(only_the_first, step(only_the_first, rows), latent(rows))
    replay.sample(4, 10)
    batch = replay.sample(16_000, 10)
    windows = [(0, first) for first in range(1, 12)] + [(1, first) for first in range(1, 7)]
    assert replay.windows(10) == len(windows)
    seen = np.array(
        [int(((batch.streams == stream) & (batch.rows == first)).sum()) for stream, first in windows], np.float64
    )
    assert seen.sum() == 16_000
    expected = 16_000 / len(windows)
    chi_squared = float((((seen - expected) ** 2) / expected).sum())
    assert chi_squared < 39.3, "16 degrees of freedom: exceeded once in a thousand"
    replay.close()


def test_old_rows_make_room_and_are_not_drawn(tmp_path: Path) -> None:
    replay = open_replay(tmp_path, capacity=100, slack=3)
    fill(replay, 170)
    assert len(replay) == 100
    batch = replay.sample(2000, 5)
    rows = batch.rows[:, None] + np.arange(5)
    assert np.array_equal(batch.fields["observation"][..., 1], rows)
    assert batch.rows.min() - 1 == 120
    assert rows.max() == 169
    replay.close()


def test_latents_written_back_start_later_sequences(tmp_path: Path) -> None:
    replay = open_replay(tmp_path, streams=1)
    fill(replay, 12)
    batch = replay.sample(1, 11)
    new = latent(np.arange(11) + 100)
    replay.write_latents(batch, new["deter"][None], new["stoch"][None])
    later = replay.sample(50, 3)
    rows = np.where(later.rows == 1, 0, later.rows - 2 + 100)
    assert np.array_equal(later.fields["deter"], latent(rows)["deter"])
    assert np.array_equal(later.fields["stoch"], latent(rows)["stoch"])
    replay.close()


def test_latents_of_rows_that_were_overwritten_meanwhile_are_left_out(tmp_path: Path) -> None:
    replay = open_replay(tmp_path, streams=1, capacity=20, slack=1)
    fill(replay, 20)
    batch = replay.sample(1, 10)
    fill(replay, 15)
    new = latent(np.arange(10) + 500)
    replay.write_latents(batch, new["deter"][None], new["stoch"][None])
    later = replay.sample(200, 4)
    assert later.rows.min() == 16
    assert np.array_equal(later.fields["deter"][:, 0], later.rows - 1)
    replay.close()


def same(a: SequenceBatch, b: SequenceBatch) -> bool:
    fields = all(np.array_equal(a.fields[name], b.fields[name]) for name in a.fields)
    return fields and np.array_equal(a.rows, b.rows) and np.array_equal(a.streams, b.streams)


def go_on(replay: SequenceReplay) -> list[SequenceBatch]:
    """What a learner does: add, sample, write back."""
    seen = []
    for turn in range(6):
        fill(replay, 3)
        batch = replay.sample(4, 5)
        new = latent(np.arange(20) + 7 * turn)
        replay.write_latents(batch, new["deter"].reshape(4, 5, -1), new["stoch"].reshape(4, 5, -1))
        seen.append(batch)
    return seen


@pytest.mark.parametrize("filled", [30, 130])
def test_a_restored_replay_goes_on_to_the_bit(tmp_path: Path, filled: int) -> None:
    replay = open_replay(tmp_path / "replay", slack=18)
    fill(replay, filled)
    replay.sample(3, 5)
    (tmp_path / "save").mkdir()
    replay.save(tmp_path / "save")
    straight = go_on(replay)
    replay.close()
    again = open_replay(tmp_path / "replay", slack=18, seed=99)
    again.restore(tmp_path / "save")
    assert all(same(a, b) for a, b in zip(straight, go_on(again), strict=True))
    again.close()


def test_a_save_too_far_back_is_refused(tmp_path: Path) -> None:
    replay = open_replay(tmp_path / "replay", slack=5)
    fill(replay, 120)
    (tmp_path / "save").mkdir()
    replay.save(tmp_path / "save")
    fill(replay, 6)
    with pytest.raises(ConfigError, match="6 rows ahead of it, 5 can be undone"):
        replay.restore(tmp_path / "save")
    replay.close()


def test_a_save_of_another_layout_and_a_short_one_are_refused(tmp_path: Path) -> None:
    replay = open_replay(tmp_path / "replay")
    fill(replay, 12)
    (tmp_path / "save").mkdir()
    replay.save(tmp_path / "save")
    other = open_replay(tmp_path / "other", capacity=300)
    with pytest.raises(ConfigError, match="another layout"):
        other.restore(tmp_path / "save")
    latents = tmp_path / "save" / "latents.bin"
    latents.write_bytes(latents.read_bytes()[:-5])
    with pytest.raises(ConfigError, match="ends 5 bytes early"):
        replay.restore(tmp_path / "save")
    replay.close()
    other.close()


def test_what_cannot_be_is_refused_with_one_line(tmp_path: Path) -> None:
    replay = open_replay(tmp_path)
    fill(replay, 5)
    with pytest.raises(ConfigError, match="no stream of 6 rows, the longest has 5"):
        replay.sample(1, 5)
    with pytest.raises(ConfigError, match="another process has this replay open"):
        open_replay(tmp_path)
    replay.close()
    with pytest.raises(ConfigError, match="give the settings it was made with"):
        open_replay(tmp_path, capacity=300)
    with pytest.raises(ConfigError, match="2 rows a stream"):
        open_replay(tmp_path / "new", capacity=3)


@pytest.mark.parametrize("name", ["observation", "action", "reward", "deter"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_refused_and_nothing_of_it_kept(tmp_path: Path, name: str, value: float) -> None:
    replay, streams = open_replay(tmp_path), np.arange(2)
    fill(replay, 6)
    row, inferred = step(streams, replay.counts), latent(replay.counts)
    given = inferred if name == "deter" else row
    given[name] = np.array(given[name])
    given[name][1, ...] = value
    with pytest.raises(SimulationError, match=rf"of environment 1 holds {value}, not a finite number") as caught:
        replay.add(streams, row, inferred)
    assert "\n" not in str(caught.value)
    assert replay.counts.tolist() == [6, 6]
    replay.close()


def test_a_disk_without_room_for_rows_latents_and_their_copies_is_refused_before_a_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, latents = (100 * kind.itemsize for kind in (SPACES.step_dtype, SPACES.latent_dtype))
    counts, pending = 8 * (1 + 1), 4096 * (16 + SPACES.latent_dtype.itemsize)
    needed = steps + 3 * latents + counts + pending
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed - 1))
    with pytest.raises(ConfigError, match=f"needs {needed} bytes, the disk has {needed - 1}"):
        open_replay(tmp_path, streams=1, capacity=90, slack=10)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed))
    open_replay(tmp_path, streams=1, capacity=90, slack=10).close()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    open_replay(tmp_path, streams=1, capacity=90, slack=10).close()


def test_what_a_replay_leaves_resident_is_bounded(tmp_path: Path) -> None:
    """Whatever is done with it: of 12 MB of files 2 MB may stay, and what one access maps before it is counted."""
    spaces, random = SPACES.model_copy(update={"deter": 1024}), np.random.default_rng(0)
    replay = SequenceReplay(tmp_path / "replay", spaces, random, streams=2, capacity=6000, slack=1, resident=2 << 20)
    (tmp_path / "save").mkdir()
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, sum(resident(tmp_path / "replay" / name) for name in ("steps.bin", "latents.bin")))

    streams, wide = np.arange(2), np.ones((2, 1024), np.float32)
    for row in range(3000):
        rows = np.full(2, row)
        replay.add(streams, step(streams, rows), {**latent(rows), "deter": wide})
        if row % 300 == 0:
            look()
    deter, stoch = np.ones((4, 8, 1024), np.float32), np.ones((4, 8, 8), np.float32)
    for turn in range(100):
        replay.write_latents(replay.sample(4, 8), deter, stoch)
        if turn % 10 == 0:
            look()
    assert 0 < most < 4 << 20
    replay.close()


def test_images_stay_bytes(tmp_path: Path) -> None:
    spaces = SPACES.model_copy(update={"observation": (4, 4, 3), "pixels": True})
    replay = SequenceReplay(tmp_path, spaces, np.random.default_rng(0), streams=1, capacity=20)
    one = np.array([0])
    for row in range(8):
        given = {**step(one, np.array([row])), "observation": np.full((1, 4, 4, 3), row, np.uint8)}
        replay.add(one, given, latent(np.array([row])))
    batch = replay.sample(1, 7)
    assert batch.fields["observation"].dtype == np.uint8
    assert np.array_equal(batch.fields["observation"][0, :, 0, 0, 0], np.arange(1, 8))
    replay.close()
