"""A learner and environments small enough to watch: the numbers they give follow from what they were given."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.dreamer_run import Beginning, Compute, DreamerRunSettings
from robot_mbrl.learning.dreamer_training import Crew
from robot_mbrl.learning.sequence_learner import Float32Array, Latent, Update
from robot_mbrl.learning.vector_env import GymnasiumEnvs
from robot_mbrl.policies.dreamer_settings import DreamerSettings

DETER, GROUPS, CLASSES = 4, 2, 4

TINY = DreamerRunSettings(
    task="counting",
    seed=3,
    steps=600,
    environments=3,
    prefill=60,
    replay_ratio=8.0,
    batch=4,
    length=8,
    capacity=300,
    evaluate_every=150,
    evaluation_episodes=2,
    checkpoint_every=100,
)


class Counting(gymnasium.Env[FloatArray, NDArray[np.float32]]):
    """Observes (steps, seed's number, last action); episodes of 7 to 12 steps, those of even length terminate."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
        self._steps, self._length, self._number, self._action = 0, 7, 0.0, 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed, options=options)
        self._steps, self._action = 0, 0.0
        self._length = int(self.np_random.integers(7, 13))
        self._number = float(self.np_random.random())
        return self._observation(), {}

    def step(self, action: NDArray[np.float32]) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Count."""
        self._steps += 1
        self._action = float(action[0])
        over = self._steps >= self._length
        even = self._length % 2 == 0
        info = {"success": even, "distance": self._number}
        return self._observation(), self._number * self._action, over and even, over and not even, info

    def _observation(self) -> FloatArray:
        return np.array([self._steps, self._number, self._action])


class Leaning:
    """A learner whose policy leans towards the mean reward it was trained on, with noise of its own generator."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self.weights = np.zeros(3)
        self.updates = 0

    def initial(self, count: int) -> Latent:
        """Zeros."""
        return Latent(np.zeros((count, DETER), np.float32), np.zeros((count, GROUPS * CLASSES), np.float32))

    def act(
        self,
        latent: Latent,
        observation: NDArray[Any],
        action: Float32Array,
        is_first: NDArray[np.bool_],
        explore: bool,
    ) -> tuple[Float32Array, Latent]:
        """Remember what was seen, and act on it."""
        kept = np.where(is_first[:, None], 0.0, latent.deter)
        deter = (0.5 * kept + observation[:, :1] + np.where(is_first[:, None], 0.0, action[:, :1])).astype(np.float32)
        stoch = np.zeros((len(observation), GROUPS, CLASSES), np.float32)
        stoch[:, :, 1] = 1.0
        noise = self._random.standard_normal((len(observation), 1)) if explore else 0.0
        mean = observation @ self.weights[:, None] + 0.01 * deter[:, :1]
        return np.tanh(mean + noise).astype(np.float32), Latent(deter, stoch.reshape(len(stoch), -1))

    def train(self, fields: dict[str, NDArray[Any]]) -> Update:
        """Take a step along the rewards, and change the latents."""
        self.updates += 1
        pull = (fields["observation"] * fields["reward"][..., None]).mean(axis=(0, 1))
        self.weights += 0.01 * pull + 1e-4 * self._random.standard_normal(3) + 1e-4 * fields["deter"].mean()
        deter = np.tanh(fields["observation"].sum(-1, keepdims=True) + np.zeros(DETER)).astype(np.float32)
        stoch = np.zeros((*fields["reward"].shape, GROUPS, CLASSES), np.float32)
        stoch[..., self.updates % CLASSES] = 1.0
        latent = Latent(deter, stoch.reshape(*stoch.shape[:2], -1))
        return Update(latent, {"loss": float(pull.sum())})

    def predict(self, fields: dict[str, NDArray[Any]], context: int) -> dict[str, FloatArray]:
        """Nothing after the context."""
        observed = fields["observation"].astype(np.float64)
        observed[:, context:] = 0.0
        return {"observation": observed, "reward": np.zeros(fields["reward"].shape)}

    def save(self, path: Path) -> None:
        """Weights and generator."""
        state = self._random.bit_generator.state["state"]
        words = [state[name] >> shift & (2**64 - 1) for name in ("state", "inc") for shift in (0, 64)]
        arrays = {"weights": self.weights, "words": np.array(words, np.uint64), "updates": np.array([self.updates])}
        save_file(arrays, path)

    def load(self, path: Path) -> None:
        """What `save` wrote."""
        arrays = load_file(path)
        low_state, high_state, low_inc, high_inc = (int(word) for word in arrays["words"])
        state = dict(self._random.bit_generator.state)
        state["state"] = {"state": low_state | high_state << 64, "inc": low_inc | high_inc << 64}
        self._random.bit_generator.state = state
        self.weights, self.updates = arrays["weights"], int(arrays["updates"][0])


def counting_envs(count: int) -> GymnasiumEnvs:
    """`count` of them."""
    return GymnasiumEnvs([Counting() for _ in range(count)], "counting")


def tiny_crew(settings: DreamerRunSettings = TINY) -> Crew:
    """A learner and environments for `settings`."""
    evaluation = counting_envs(settings.evaluation_episodes)
    return Crew(Leaning(settings.seed), counting_envs(settings.environments), evaluation, CLASSES)


def tiny_beginning(settings: DreamerRunSettings = TINY) -> Beginning:
    """What a run with `settings` of the counting task is begun with."""
    return Beginning(settings, DreamerSettings(), settings.identity, Compute(device="cpu", precision="float32"))
