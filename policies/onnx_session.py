"""Sessions of onnxruntime as a control process can bear them: one thread, in order, silent."""

from collections.abc import Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """A session for the model in `content`. Raises onnxruntime's own errors, which have no common base."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def bind(
    session: onnxruntime.InferenceSession, inputs: Mapping[str, Float32Array], outputs: Mapping[str, Float32Array]
) -> onnxruntime.IOBinding:
    """Let `session` read and write these arrays by name. They must live as long as the binding: it keeps none."""
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
    for name, array in outputs.items():
        binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
    return binding
