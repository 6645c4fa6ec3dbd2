"""One step of a recurrent policy, from torch to ONNX, and how far the two are apart."""

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.bundle_manifest import StateTensor
from robot_mbrl.policies.onnx_session import Float32Array
from robot_mbrl.policies.onnx_step import OnnxStep

OPSET: Final = 18
"""Operator set that policies are exported with: the newest of which the exporter writes no converted version."""
VALUE_WEIGHT: Final = 0.01
"""What a difference of a value counts: it is a mean over bins up to 5e8, so its roundings are far above all others,
3e-4 in a network that was never trained; and nothing acts by it."""
_EXPORTER_LOG: Final = "torch.onnx._internal.exporter"


def export_step(step: nn.Module, observation: int, states: Sequence[StateTensor]) -> bytes:
    """`step` as ONNX, with the names of `policies.bundle`.

    Args:
        step: maps (observation (1, o), is_first (1,), each state tensor) to (action (1, n), value (1,), doubt (1,),
            each next state tensor), float32.
        observation: o.
        states: its state tensors, in the order of its arguments.

    Raises:
        ConfigError: the step cannot be exported.
    """
    examples = (torch.zeros(1, observation), torch.zeros(1), *(torch.zeros(*state.shape) for state in states))
    try:
        with _quiet_exporter():
            program = torch.onnx.export(
                step.eval(),
                examples,
                dynamo=True,
                opset_version=OPSET,
                input_names=["observation", "is_first", *(state.input for state in states)],
                output_names=["action", "value", "doubt", *(state.output for state in states)],
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"policy: torch cannot export it to ONNX ({reason}): change the network") from error
    if program is None:
        raise ConfigError("policy: torch exported nothing to ONNX: change the network")
    model = program.model_proto
    _strip(model)
    return bytes(model.SerializeToString(deterministic=True))


def largest_difference(
    step: nn.Module,
    exported: OnnxStep,
    steps: int,
    random: np.random.Generator,
    *,
    restart: float = 0.01,
    free: bool = False,
) -> float:
    """Largest difference between `step` and what was exported of it, of any number that is told or remembered.

    Of a number above 1 the difference counts as a share of it, that of a value by `VALUE_WEIGHT`. Infinity where either
    answers with a number that is not finite, even both alike: such a policy is none.

    Each step begins with what torch remembers: a recurrent policy may make more of a rounding from step to step, as it
    does of any noise in what it observes, and that tells nothing of the export. Run `free`, either goes on from what it
    remembers itself from an episode's beginning to its end.

    Args:
        step: as for `export_step`.
        exported: the same in onnxruntime.
        steps: how many in a row, with observations from a standard normal distribution.
        random: draws them, and where episodes begin.
        restart: probability that an episode begins with a step.
        free: leave to what was exported what it remembers.
    """
    states = [torch.zeros(state.shape) for state in exported.states]
    largest = 0.0
    with torch.inference_mode():
        for index in range(steps):
            is_first = index == 0 or random.random() < restart
            if is_first:
                exported.reset()
            for theirs, ours in zip(exported.states, [] if free else states, strict=not free):
                theirs[:] = ours.numpy()
            seen = random.standard_normal(exported.observation.shape, np.float32)
            exported.observation[:] = seen
            exported.step()
            answer: Sequence[Tensor] = step(torch.from_numpy(seen)[None], torch.tensor([float(is_first)]), *states)
            states = list(answer[3:])
            pairs = [(exported.action, answer[0][0]), *zip(exported.states, states, strict=True)]
            pairs += [(exported.doubt, answer[2])] if exported.has_doubt else []
            largest = max(largest, *(_difference(theirs, ours.numpy()) for theirs, ours in pairs))
            if exported.has_value:
                largest = max(largest, VALUE_WEIGHT * _difference(exported.value, answer[1].numpy()))
            if math.isinf(largest):
                break
    return largest


def _difference(found: Float32Array, wanted: Float32Array) -> float:
    # `max` would pass a NaN over: it is neither above nor below anything.
    if not (np.isfinite(found).all() and np.isfinite(wanted).all()):
        return math.inf
    exact = wanted.astype(np.float64)
    return float((np.abs(found - exact) / np.maximum(1.0, np.abs(exact))).max())


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep what the exporter has to say about itself, and not about the policy, from the user."""
    logger = logging.getLogger(_EXPORTER_LOG)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # PyTorch 2.13 copies objects of a class that it has deprecated itself.
            warnings.filterwarnings("ignore", message=r".*LeafSpec", category=FutureWarning)
            yield
    finally:
        logger.setLevel(before)


def _strip(model: onnx.ModelProto) -> None:
    """Take away what the exporter notes for debugging: it names the files of the computer that it ran on."""
    graph = model.graph
    del model.metadata_props[:]
    del graph.metadata_props[:]
    del graph.value_info[:]
    graph.doc_string = model.doc_string = ""
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
