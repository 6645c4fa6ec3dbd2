"""Evaluations: one episode in each environment, and rows that belong to one episode each."""

from robot_mbrl.learning.sequence_evaluation import evaluate
from robot_mbrl.learning.vector_env import GymnasiumEnvs
from tests.learning.sequence_doubles import Counting, Leaning


def test_kept_rows_end_with_the_first_episode_that_does() -> None:
    """A prediction that goes on into the next episode would be held against what it cannot know."""
    evaluated = evaluate(GymnasiumEnvs([Counting() for _ in range(3)], "counting"), Leaning(), seed=5)
    lengths = [end.length for end in evaluated.ends]
    assert min(lengths) < max(lengths)
    first, last = evaluated.rows["is_first"], evaluated.rows["is_last"]
    assert first.shape == (3, min(lengths) + 1)
    assert first[:, 0].all()
    assert not first[:, 1:].any()
    assert last.any(axis=0).tolist() == [False] * min(lengths) + [True]
