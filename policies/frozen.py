"""Parts of a model that gradients pass through without teaching them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def frozen(module: torch.nn.Module) -> Iterator[None]:
    """Gradients pass through what is computed meanwhile, but do not reach the module's parameters."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


def call_frozen(module: torch.nn.Module, features: Tensor) -> Tensor:
    """The module's answer, with gradients by `features` and none by its parameters."""
    fixed = {name: parameter.detach() for name, parameter in module.named_parameters()}
    answer: Tensor = torch.func.functional_call(module, fixed, (features,))
    return answer
