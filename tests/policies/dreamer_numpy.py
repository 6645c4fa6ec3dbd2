"""DreamerV3's equations once more, in NumPy with loops, written from the paper: what the tests compare with."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def silu_norm(x: Array, gain: Array) -> Array:
    normed = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-4) * gain
    return np.asarray(normed * sigmoid(normed))


def block_gru(weights: Mapping[str, Array], deter: Array, stoch: Array, action: Array, blocks: int) -> Array:
    """Next deter (b, d). Names in `weights` are those of `RecurrentModel`'s parameters."""

    def hidden(name: str, x: Array) -> Array:
        y = x @ weights[f"{name}.dense.weight"].T + weights[f"{name}.dense.bias"]
        return silu_norm(y, weights[f"{name}.activation.norm.gain"])

    def block_linear(name: str, inputs: list[Array]) -> list[Array]:
        kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"].reshape(blocks, -1)
        return [x @ kernel[:, block] + bias[block] for block, x in enumerate(inputs)]

    action = action / np.maximum(1.0, np.abs(action))
    seen = [hidden("deter_in", deter), hidden("stoch_in", stoch), hidden("action_in", action)]
    shared = np.concatenate(seen, -1)
    parts = np.split(deter, blocks, -1)
    x = np.concatenate(block_linear("core", [np.concatenate([part, shared], -1) for part in parts]), -1)
    x = silu_norm(x, weights["core_activation.norm.gain"])
    results = []
    for part, gates in zip(parts, block_linear("gates", np.split(x, blocks, -1)), strict=True):
        reset, candidate, update = np.split(gates, 3, -1)
        candidate = np.tanh(sigmoid(reset) * candidate)
        update = sigmoid(update - 1.0)
        results.append(update * candidate + (1.0 - update) * part)
    return np.concatenate(results, -1)


def bins(count: int) -> Array:
    x = np.linspace(-20.0, 20.0, count)
    return np.asarray(np.sign(x) * (np.exp(np.abs(x)) - 1.0))


def two_hot(value: float, values: Array) -> Array:
    """The encoding (k,) of one number."""
    encoded = np.zeros(len(values))
    if value <= values[0]:
        encoded[0] = 1.0
    elif value >= values[-1]:
        encoded[-1] = 1.0
    else:
        above = next(index for index, bin_value in enumerate(values) if bin_value > value)
        share = (value - values[above - 1]) / (values[above] - values[above - 1])
        encoded[above - 1], encoded[above] = 1.0 - share, share
    return encoded


def cross_entropy(target: Array, logits: Array) -> float:
    return float(-(target * np.log(softmax(logits))).sum())


def lambda_returns(rewards: Array, continues: Array, values: Array, traces: Array) -> Array:
    """(t - 1,) of one sequence (t,)."""

    def from_step(step: int) -> float:
        if step == len(rewards) - 1:
            return float(values[-1])
        arrived = step + 1
        mixed = (1.0 - traces[arrived]) * values[arrived] + traces[arrived] * from_step(arrived)
        return float(rewards[arrived] + continues[arrived] * mixed)

    return np.array([from_step(step) for step in range(len(rewards) - 1)])


def kl_with_free_nats(posterior: Array, prior: Array, unimix: float, free_nats: float) -> float:
    """Of one step: logits (latents, classes) of both."""
    total = 0.0
    for p_logits, q_logits in zip(posterior, prior, strict=True):
        uniform = np.full(len(p_logits), unimix / len(p_logits))
        p, q = (1.0 - unimix) * softmax(p_logits) + uniform, (1.0 - unimix) * softmax(q_logits) + uniform
        total += float((p * np.log(p / q)).sum())
    return max(total, free_nats)


class LaProp:
    """Of one parameter tensor, by the equations as they are usually written."""

    def __init__(self, parameter: Array) -> None:
        self.parameter = parameter.copy()
        self.square, self.momentum = np.zeros_like(parameter), np.zeros_like(parameter)
        self.updates = 0

    def step(self, gradient: Array, rate: float) -> None:
        self.updates += 1
        norm, limit = np.sqrt((gradient**2).sum()), 0.3 * max(1e-3, np.sqrt((self.parameter**2).sum()))
        if norm > limit:
            gradient = gradient * limit / norm
        self.square = 0.999 * self.square + 0.001 * gradient**2
        scaled = gradient / (np.sqrt(self.square / (1.0 - 0.999**self.updates)) + 1e-20)
        self.momentum = 0.9 * self.momentum + 0.1 * scaled
        self.parameter -= rate * self.momentum / (1.0 - 0.9**self.updates)
