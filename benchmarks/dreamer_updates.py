"""The measuring half of `benchmarks.dreamer`: updates of Dreamer, timed and profiled in a process of their own.

python -m robot_mbrl.benchmarks.dreamer_updates --size 1M --seconds 20 --device cpu --threads 2 --compiled
"""

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from robot_mbrl.policies.dreamer import PHASES, Dreamer, compute_precision
from robot_mbrl.policies.dreamer_settings import DreamerSettings, DreamerSpaces, dreamer_settings

ROWS, STEPS = 16, 64
SPACES: Final = DreamerSpaces(vector=6, actions=2)
"""Of dm_control's reacher: angles and velocities of two joints, the way to the target; two torques."""

_PRODUCTS: Final = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")
_WARM_UP = 3
_PROFILED = 3


def replayed(settings: DreamerSettings, device: torch.device, generator: torch.Generator) -> dict[str, Tensor]:
    """A batch as replay gives it, of noise; two episodes begin within it."""
    shape = (ROWS, STEPS)
    first, last = torch.zeros(shape), torch.zeros(shape)
    first[:2, STEPS // 2], last[:2, STEPS // 2 - 1] = 1.0, 1.0
    batch = {
        "observation": torch.randn((*shape, SPACES.vector), generator=generator),
        "action": 2.0 * torch.rand((*shape, SPACES.actions), generator=generator) - 1.0,
        "reward": torch.rand(shape, generator=generator),
        "is_first": first,
        "is_last": last,
        "is_terminal": torch.zeros(shape),
        "deter": torch.zeros(ROWS, settings.deter),
        "stoch": torch.zeros(ROWS, settings.stoch),
    }
    return {name: value.to(device) for name, value in batch.items()}


def measure(settings: DreamerSettings, device: torch.device, seconds: float) -> dict[str, Any]:
    """Measure updates for about `seconds` [s].

    Returns:
        `updates_per_second` (of the median update), `updates`, `slowest` [s], `first` [s] (the first update, which
        compiles), `processor` [s] (of all threads in the cheapest update: it says something on a busy machine too),
        `gflop` an update, `gflop_per_second`, `kernel` (`Dreamer.kernel`), `precision`, `phases` (share of each in an
        update), and `operators` (the ten that take longest, share of each).
    """
    generator = torch.Generator()
    generator.manual_seed(0)
    batch = replayed(settings, device, generator)
    gflop = _count(settings, batch, device)
    dreamer = Dreamer(SPACES, settings, generator, device)
    first = _time(dreamer, batch)
    for _ in range(_WARM_UP):
        dreamer.train_step(batch)
    times: list[float] = []
    costs: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        busy = time.process_time()
        times.append(_time(dreamer, batch))
        costs.append(time.process_time() - busy)
    median = sorted(times)[len(times) // 2]
    phases, operators = _profile(dreamer, batch)
    return {
        "updates_per_second": 1.0 / median,
        "updates": len(times),
        "slowest": max(times),
        "first": first,
        "processor": min(costs),
        "gflop": gflop,
        "gflop_per_second": gflop / median,
        "kernel": dreamer.kernel,
        "precision": str(compute_precision(settings, device)).removeprefix("torch."),
        "phases": phases,
        "operators": operators,
    }


def _time(dreamer: Dreamer, batch: Mapping[str, Tensor]) -> float:
    start = time.perf_counter()
    metrics = dreamer.train_step(batch).metrics
    # Reading a figure waits for the device.
    float(metrics["gradient_norm"])
    return time.perf_counter() - start


def _count(settings: DreamerSettings, batch: Mapping[str, Tensor], device: torch.device) -> float:
    """GFLOP of the matrix products of one update."""
    generator = torch.Generator()
    generator.manual_seed(0)
    dreamer = Dreamer(SPACES, settings.model_copy(update={"compiled": False}), generator, device)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, with_flops=True) as profiler:
        dreamer.train_step(batch)
    return float(sum(event.flops for event in profiler.key_averages() if event.key in _PRODUCTS)) / 1e9


def _profile(dreamer: Dreamer, batch: Mapping[str, Tensor]) -> tuple[dict[str, float], dict[str, float]]:
    """Shares of the time of an update: of its phases, and of the ten operators that take most by themselves."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(_PROFILED):
            dreamer.train_step(batch)
    events = list(profiler.key_averages())
    whole = sum(event.cpu_time_total for event in events if event.key in PHASES)
    phases = {event.key: event.cpu_time_total / whole for event in events if event.key in PHASES}
    events.sort(key=lambda event: -float(event.self_cpu_time_total))
    longest = [event for event in events if event.key not in PHASES][:10]
    return phases, {event.key[:60]: event.self_cpu_time_total / whole for event in longest}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", default="1M", help="of 1M, 12M, 25M")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure")
    parser.add_argument("--device", default="cpu", help="where torch computes")
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument("--compiled", action="store_true", help="have torch.compile fuse the update")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    changes = {"precision": arguments.precision, "compiled": arguments.compiled}
    settings = dreamer_settings(arguments.size).model_copy(update=changes)
    print(json.dumps(measure(settings, torch.device(arguments.device), arguments.seconds)))


if __name__ == "__main__":
    main()
