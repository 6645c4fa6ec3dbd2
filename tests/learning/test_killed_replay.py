"""A replay whose writer is killed at random moments: what was added is there, whole, and nothing else."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from tests.learning.replays import SPACES, latent, open_replay, step

WRITER = """
import sys
from pathlib import Path
import numpy as np
from tests.learning.replays import fill, latent, open_replay

replay = open_replay(Path(sys.argv[1]), capacity=400, slack=1)
turn = 0
while True:
    fill(replay, 8)
    print(int(replay.counts.min()), flush=True)
    if len(replay) > 100:
        batch = replay.sample(16, 8)
        turn += 1
        new = latent(np.full(16 * 8, turn % 2000))
        replay.write_latents(batch, new["deter"].reshape(16, 8, -1), new["stoch"].reshape(16, 8, -1))
"""
ROOT = Path(__file__).resolve().parents[2]
KILLS = 8


def test_what_was_added_before_a_sigkill_is_whole(tmp_path: Path) -> None:
    moments = np.random.default_rng(5)
    told = 0
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(moments.uniform(0.0, 0.05))
            writer.kill()
            lines = writer.stdout.read().split("\n")
        told = max([told, *(int(line) for line in lines[:-1])])
        replay = open_replay(tmp_path, capacity=400, slack=1)
        assert replay.counts.min() >= told
        assert np.ptp(replay.counts) <= 1
        batch = replay.sample(500, 8)
        rows = (batch.rows[:, None] + np.arange(8)).ravel()
        expected = step(np.repeat(batch.streams, 8), rows)
        for name, values in expected.items():
            assert np.array_equal(batch.fields[name].reshape(values.shape), values), name
        deter = batch.fields["deter"]
        assert (deter == deter[:, :1]).all(), "a latent is half an old and half a new one"
        classes = latent(deter[:, 0].astype(np.int64))["stoch"]
        of_this_run = deter[:, 0] < 2048
        assert np.array_equal(batch.fields["stoch"][of_this_run], classes[of_this_run])
        replay.close()


def test_latents_that_a_sigkill_left_pending_are_finished_at_opening(tmp_path: Path) -> None:
    replay = open_replay(tmp_path, streams=1)
    replay.add(np.array([0]), step(np.array([0]), np.array([0])), latent(np.array([0])))
    replay.add(np.array([0]), step(np.array([0]), np.array([1])), latent(np.array([1])))
    replay.close()
    layout = np.dtype([("stream", np.int64), ("slot", np.int64), ("latent", SPACES.latent_dtype)])
    pending = np.memmap(tmp_path / "pending.bin", mode="r+", dtype=layout)
    pending["slot"][0], pending["latent"]["deter"][0] = 0, 77
    np.memmap(tmp_path / "pending_count.bin", mode="r+", dtype=np.int64)[0] = 1
    again = open_replay(tmp_path, streams=1)
    assert again.sample(1, 1).fields["deter"].tolist() == [[77.0] * 4]
    again.close()
