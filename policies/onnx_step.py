"""`OnnxStep`: the graph of a deployment bundle, one step at a time, and the state that it keeps in between."""

from typing import Final

import numpy as np
import onnxruntime

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.bundle import Bundle
from robot_mbrl.policies.bundle_manifest import POLICY
from robot_mbrl.policies.onnx_session import Float32Array, bind, open_session

WARM_UP_RUNS: Final = 20


class OnnxStep:
    """The graph of a bundle, with buffers that it keeps and the state from step to step. Not for several threads.

    Attributes:
        observation: (o,) to be filled before each step.
        action: (n,) of the last step, as the graph gave it.
        value: (1,) of the state that was seen last; NaN where the policy does not tell.
        doubt: (1,) of the policy itself; NaN where it does not tell.
        has_value: whether the policy tells its value.
        has_doubt: whether it tells its doubt.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Load the graph and run it until it is warm.

        Raises:
            ConfigError: onnxruntime cannot run it, or it answers to zeros with numbers that are not finite.
        """
        manifest, path = bundle.manifest, bundle.folder / POLICY
        self._row = np.zeros((1, manifest.observation_size), np.float32)
        self._answer = np.zeros((1, len(manifest.joints)), np.float32)
        self._is_first = np.ones(1, np.float32)
        self.observation, self.action = self._row[0], self._answer[0]
        self.value, self.doubt = (np.full(1, np.nan, np.float32) for _ in range(2))
        self.has_value, self.has_doubt = bundle.has_value, bundle.has_doubt
        # What one run writes, the next one reads: two sets of state tensors take turns, and nothing is copied.
        self._states = tuple([np.zeros(state.shape, np.float32) for state in manifest.states] for _ in range(2))
        self._turn = 0
        try:
            self._session = open_session(bundle.policy)
            self._bindings = [self._bind(bundle, self._states[i], self._states[1 - i]) for i in range(2)]
            for _ in range(WARM_UP_RUNS):
                self.step()
        except Exception as error:  # onnxruntime's errors have no other common base
            reason = " ".join(str(error).split())
            raise ConfigError(f"{path}: onnxruntime cannot run it ({reason}): export it again") from error
        if not self.is_finite():
            raise ConfigError(f"{path}: answers to zeros with numbers that are not finite: train it again")
        self.reset()

    @property
    def states(self) -> list[Float32Array]:
        """The state tensors that the next step begins with, in the manifest's order; writing to them changes it."""
        return self._states[self._turn]

    def reset(self) -> None:
        """Begin an episode with the next step."""
        # Zeros as well as the flag: a graph that masks by multiplication would keep what is not finite.
        for state in self.states:
            state.fill(0.0)
        self._is_first[0] = 1.0

    def step(self) -> None:
        """Answer to what is in `observation`."""
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn
        self._is_first[0] = 0.0

    def is_finite(self) -> bool:
        """Whether all is finite that the last step told and left to be remembered."""
        answers = [self.action, *self.states]
        answers += [self.value] if self.has_value else []
        answers += [self.doubt] if self.has_doubt else []
        return all(bool(np.isfinite(answer).all()) for answer in answers)

    def _bind(self, bundle: Bundle, before: list[Float32Array], after: list[Float32Array]) -> onnxruntime.IOBinding:
        states = bundle.manifest.states
        known = {value.name for value in self._session.get_inputs()}
        inputs: dict[str, Float32Array] = {"observation": self._row, "is_first": self._is_first}
        inputs |= {state.input: array for state, array in zip(states, before, strict=True)}
        outputs: dict[str, Float32Array] = {"action": self._answer}
        outputs |= {state.output: array for state, array in zip(states, after, strict=True)}
        outputs |= {"value": self.value} if self.has_value else {}
        outputs |= {"doubt": self.doubt} if self.has_doubt else {}
        return bind(self._session, {name: array for name, array in inputs.items() if name in known}, outputs)
