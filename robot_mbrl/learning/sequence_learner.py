"""What training on sequences needs of a learner. NumPy at its border, so that loops and tests need no torch.

`k` environments, `b` sequences of `t` rows, actions of length `a`.
"""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.types import FloatArray

Float32Array = NDArray[np.float32]


class Latent(NamedTuple):
    """What a recurrent policy remembers, of k environments or b sequences.

    Attributes:
        deter: (..., deter) deterministic part.
        stoch: (..., groups * classes) one-hot vectors, one after the other.
    """

    deter: Float32Array
    stoch: Float32Array


class Update(NamedTuple):
    """What one training step gave.

    Attributes:
        latent: of every row that was learned from, (b, t, ...).
        figures: losses and other figures, by name.
        made: False where the gradient was not finite, and nothing was learned.
    """

    latent: Latent
    figures: dict[str, float]
    made: bool = True


class SequenceLearner(Protocol):
    """A world model and a policy that are trained together."""

    def initial(self, count: int) -> Latent:
        """The latents with which episodes begin, (count, ...)."""
        ...

    def act(
        self,
        latent: Latent,
        observation: NDArray[Any],
        action: Float32Array,
        is_first: NDArray[np.bool_],
        explore: bool,
    ) -> tuple[Float32Array, Latent]:
        """Observe and choose.

        Args:
            latent: of the row before, (k, ...); what it holds does not count where `is_first`.
            observation: (k, ...).
            action: (k, a) which led to the observation; does not count where `is_first`.
            is_first: (k,) whether the episode begins here.
            explore: draw the action from the policy; False takes its mode.

        Returns:
            The actions (k, a) and the latents (k, ...) of this row.
        """
        ...

    def train(self, fields: dict[str, NDArray[Any]]) -> Update:
        """Take one training step on `SequenceBatch.fields`."""
        ...

    def predict(self, fields: dict[str, NDArray[Any]], context: int) -> dict[str, FloatArray]:
        """Predict sequences open-loop: the first `context` rows are observed, the rest follow from actions alone.

        Returns:
            `observation` (b, t, ...), images in 0..1, and `reward` (b, t).
        """
        ...

    def save(self, path: Path) -> None:
        """Write parameters, optimizer and random state to `path`: training goes on from it to the bit."""
        ...

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            ConfigError: it is another learner's, one with other settings or spaces, or damaged.
        """
        ...
