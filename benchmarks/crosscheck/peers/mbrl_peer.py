"""mbrl-lib's PETS, timed plan by plan in its own environment."""

import importlib
import time
from types import SimpleNamespace
from typing import Any

models: Any = importlib.import_module("mbrl.models")
planning: Any = importlib.import_module("mbrl.planning")
numpy: Any = importlib.import_module("numpy")
omegaconf: Any = importlib.import_module("omegaconf")
spaces: Any = importlib.import_module("gymnasium.spaces")
torch: Any = importlib.import_module("torch")


class Peer:
    """A planner of the library's own parts: Gaussian MLP ensemble, `ModelEnv`, `TrajectoryOptimizerAgent`, CEM."""

    agent: Any = None
    state: Any = None

    def open(self, sizes: dict[str, int], threads: int) -> None:
        """Make the planner for `sizes`, see `benchmarks.planner.Sizes`.

        The reward is minus the squares of state and action; no state is terminal.
        """
        states, actions = sizes["states"], sizes["actions"]
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        net = models.GaussianMLP(
            states + actions,
            states,
            torch.device("cpu"),
            num_layers=sizes["layers"],
            ensemble_size=sizes["members"],
            hid_size=sizes["width"],
            propagation_method="fixed_model",
            activation_fn_cfg={"_target_": "torch.nn.SiLU"},
        )
        model = models.OneDTransitionRewardModel(net, target_is_delta=True, normalize=True, learned_rewards=False)
        world = SimpleNamespace(
            observation_space=spaces.Box(-1.0, 1.0, (states,)), action_space=spaces.Box(-1.0, 1.0, (actions,))
        )
        environment = models.ModelEnv(world, model, never, reward)
        optimizer = {
            "_target_": "mbrl.planning.CEMOptimizer",
            "num_iterations": sizes["iterations"],
            "elite_ratio": sizes["elites"] / sizes["population"],
            "population_size": sizes["population"],
            "alpha": 0.1,
            "device": "cpu",
            "lower_bound": None,
            "upper_bound": None,
            "return_mean_elites": True,
        }
        low, high = [-1.0] * actions, [1.0] * actions
        self.agent = planning.TrajectoryOptimizerAgent(
            omegaconf.OmegaConf.create(optimizer), low, high, planning_horizon=sizes["horizon"]
        )
        self.agent.set_trajectory_eval_fn(
            lambda state, sequences: environment.evaluate_action_sequences(sequences, state, sizes["particles"])
        )
        self.state = numpy.zeros(states, numpy.float32)

    def plan(self) -> tuple[float, float]:
        """Make one plan; its time on the clock and its processor time [s]."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.agent.act(self.state)
        return time.perf_counter() - wall, time.process_time() - cpu


def reward(action: Any, next_state: Any) -> Any:
    """(n, 1) for (n, a) and (n, d)."""
    return -(next_state.square().sum(dim=1, keepdim=True) + 0.1 * action.square().sum(dim=1, keepdim=True))


def never(action: Any, next_state: Any) -> Any:
    """(n, 1) of False."""
    del action
    return torch.zeros(len(next_state), 1, dtype=bool)
