"""Weights are found wherever a graph may have them, and what is wrong with one is told in one line."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.onnx_file import check_weights
from tests.policies.synthetic_bundles import policy_model, tensor

Place = Callable[[onnx.ModelProto, TensorProto], object]
PATH = Path("policy.onnx")


def good() -> TensorProto:
    return numpy_helper.from_array(np.ones(2, np.float32), "deep")


def sparse(values: TensorProto) -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.arange(2, dtype=np.int64), "where"), [4])


def constant(name: str, value: object) -> onnx.NodeProto:
    node = helper.make_node("Constant", [], ["spare"])
    node.attribute.append(helper.make_attribute(name, value))
    return node


def graph(weight: TensorProto) -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("Identity", ["deep"], ["out"])], "body", [], [tensor("out", 2)], [weight]
    )


def branch(model: onnx.ModelProto, weight: TensorProto) -> None:
    node = helper.make_node("If", ["one"], ["spare"], then_branch=graph(good()), else_branch=graph(weight))
    model.graph.node.append(node)


def branch_of_a_branch(model: onnx.ModelProto, weight: TensorProto) -> None:
    inner = onnx.ModelProto()
    branch(inner, weight)
    model.graph.node.append(helper.make_node("Loop", ["one"], ["spare"], body=inner.graph))


def function(model: onnx.ModelProto, weight: TensorProto) -> None:
    opsets = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("", "Own", [], ["spare"], [constant("value", weight)], opsets))


PLACES: dict[str, Place] = {
    "initializer": lambda model, weight: model.graph.initializer.append(weight),
    "constant": lambda model, weight: model.graph.node.append(constant("value", weight)),
    "sparse initializer": lambda model, weight: model.graph.sparse_initializer.append(sparse(weight)),
    "sparse constant": lambda model, weight: model.graph.node.append(constant("sparse_value", sparse(weight))),
    "list of tensors": lambda model, weight: model.graph.node.append(constant("values", [good(), weight])),
    "branch": branch,
    "branch of a branch": branch_of_a_branch,
    "list of graphs": lambda model, weight: model.graph.node.append(constant("bodies", [graph(weight)])),
    "function": function,
}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param]


def refused(model: onnx.ModelProto, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        check_weights(PATH, model)
    assert "\n" not in str(caught.value)


def test_a_good_weight(place: Place) -> None:
    model = policy_model()
    place(model, good())
    check_weights(PATH, model)


def test_a_weight_that_is_not_finite(place: Place) -> None:
    model = policy_model()
    place(model, numpy_helper.from_array(np.array([math.nan, 1.0], np.float32), "deep"))
    refused(model, r"policy\.onnx: weight 'deep' has 1 of 2 values that are not finite: train it again")


def test_a_weight_in_another_file(place: Place) -> None:
    model, weight = policy_model(), good()
    weight.data_location = TensorProto.EXTERNAL
    place(model, weight)
    refused(model, "weight 'deep' lies in another file: export with weights inside")


def test_indices_in_another_file() -> None:
    model, elsewhere = policy_model(), sparse(good())
    elsewhere.indices.data_location = TensorProto.EXTERNAL
    model.graph.sparse_initializer.append(elsewhere)
    refused(model, "weight 'where' lies in another file")


@pytest.mark.parametrize("name", ["value_float", "value_floats"])
def test_a_number_that_is_not_finite(name: str) -> None:
    model = policy_model()
    model.graph.node.append(constant(name, math.inf if name == "value_float" else [1.0, math.inf]))
    refused(model, rf"{name} of Constant '' has 1 of . values that are not finite")


@pytest.mark.parametrize(
    "kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.FLOAT8E5M2]
)
def test_each_format_of_numbers(kind: int) -> None:
    for numbers, bad in (([1.0, 2.0], False), ([1.0, math.nan], True)):
        model = policy_model()
        model.graph.initializer.append(helper.make_tensor("deep", kind, [2], numbers))
        if bad:
            refused(model, "weight 'deep' has 1 of 2 values that are not finite")
        else:
            check_weights(PATH, model)


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.INT64, TensorProto.BOOL])
def test_whole_numbers_are_finite(kind: int) -> None:
    model = policy_model()
    model.graph.initializer.append(helper.make_tensor("deep", kind, [2], [1, 0]))
    check_weights(PATH, model)


def test_words_are_no_numbers() -> None:
    model = policy_model()
    model.graph.initializer.append(numpy_helper.from_array(np.array(["a word"], object), "deep"))
    check_weights(PATH, model)


@pytest.mark.parametrize(
    "change",
    [
        lambda weight: weight.dims.append(3),
        lambda weight: setattr(weight, "data_type", TensorProto.UNDEFINED),
        lambda weight: setattr(weight, "data_type", 999),
        lambda weight: setattr(weight, "raw_data", b"odd"),
        lambda weight: setattr(weight.segment, "begin", 1),
    ],
)
def test_a_weight_that_cannot_be_read(change: Callable[[TensorProto], object]) -> None:
    model, weight = policy_model(), good()
    change(weight)
    model.graph.initializer.append(weight)
    refused(model, r"policy\.onnx: weight 'deep' cannot be read \(.*\): export it again")
