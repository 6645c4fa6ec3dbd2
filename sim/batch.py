"""A task on many simulated arms at once, for training: `mujoco.batch` on a thread pool, NumPy arrays in and out.

Each simulation does exactly what `tasks.TaskEnv` does with the same episode, parameters and actions, to the last bit of
MuJoCo's state.
"""

import copy
from collections.abc import Sequence

import gymnasium
import mujoco
import mujoco.batch
import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError, LimitViolation, NonFiniteCommand, SimulationError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.sim.apply import apply_truth
from robot_mbrl.sim.parameters import ArmTruth
from robot_mbrl.sim.randomization import Randomization
from robot_mbrl.sim.tasks.task import Episode, Task
from robot_mbrl.sim.tasks.workspace import Workspace
from robot_mbrl.sim.tasks.world import World, build_task_model
from robot_mbrl.sim.truth import nominal_truth

BoolArray = NDArray[np.bool_]

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
_PLACES_UP_TO_DATE = int(mujoco.mjtStage.mjSTAGE_POS)


class BatchTaskEnv:
    """`nsim` arms at one task, 20 actions a second of simulated time each.

    Episodes that end start anew in the same step (gymnasium's `SAME_STEP`): the observation returned is then the first
    of the new episode, and `info["final_observation"]` holds the one that the action led to.

    Attributes:
        task: rewards, layout and limits.
        truths: physical parameters of each simulation's present episode.
        model: MuJoCo's model with the parameters of `truth`, before any randomization.
        observation_space: of one simulation, Box of float64, (task.layout.size,).
        action_space: of one simulation, Box of float64, -1..1, (n,).
    """

    def __init__(
        self,
        task: Task,
        nsim: int,
        random: np.random.Generator,
        *,
        nthread: int = 0,
        truth: ArmTruth | None = None,
        randomization: Randomization | None = None,
    ) -> None:
        """Build the simulations; call `reset` next.

        Args:
            task: what to do, with which arm.
            nsim: number of simulations.
            random: for episodes and parameters; each simulation draws from a generator of its own, spawned from this.
            nthread: threads to step on, including the caller's; 0 for all processors.
            truth: physical parameters; None for the published ones with rigid gears.
            randomization: at every reset, parameters are drawn from this around `truth`; None keeps `truth`.

        Raises:
            ConfigError: `nsim` or `nthread` is out of range, or `truth` is another arm's or has backlash.
        """
        if nsim < 1 or nthread < 0:
            raise ConfigError(f"nsim = {nsim}, nthread = {nthread}: give at least 1 simulation and 0 or more threads")
        self.task = task
        self._base_truth = nominal_truth(task.arm).without_backlash() if truth is None else truth
        self.truths = [self._base_truth] * nsim
        self._randomization, self._randoms = randomization, random.spawn(nsim)
        self.model = model = build_task_model(task, self._base_truth, randomization)
        self._models = [model if randomization is None else copy.copy(model) for _ in range(nsim)]
        self._batch = mujoco.batch.Batch(model, nsim, nthread)
        self._world, self._workspace = World(task, model), Workspace(model, task.arm)
        self._scratch = mujoco.MjData(model)
        self._qpos, self._qvel = self._batch.bind("qpos"), self._batch.bind("qvel")
        self._ctrl, self._site_xpos = self._batch.bind("ctrl"), self._batch.bind("site_xpos")
        self._targets, self._goals = np.zeros((nsim, task.layout.joints)), np.zeros((nsim, 3))
        self._observations = np.zeros((nsim, task.layout.size))
        self._steps = np.zeros(nsim, np.int64)
        self.observation_space = gymnasium.spaces.Box(*task.observation_limits, dtype=np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (task.layout.joints,), np.float64)

    @property
    def nsim(self) -> int:
        """Number of simulations."""
        return len(self.truths)

    @property
    def substeps(self) -> int:
        """Physics steps in one `step`."""
        return self._world.substeps

    def states(self) -> FloatArray:
        """(nsim, nstate) MuJoCo's integration states, a copy."""
        return np.array(self._batch.state)

    def targets(self) -> FloatArray:
        """(nsim, n) the joint targets [rad], a copy."""
        return self._targets.copy()

    def reset(self, mask: BoolArray | None = None, episodes: Sequence[Episode] | None = None) -> FloatArray:
        """Start episodes.

        Args:
            mask: (nsim,) which simulations to reset; None for all.
            episodes: one for each simulation that is reset, in order; None draws them.

        Returns:
            (nsim, size) the present observations of all simulations.

        Raises:
            ConfigError: the mask has another shape, or there are not as many episodes as simulations to reset.
            SimulationError: no free pose was found.
        """
        if mask is not None and mask.shape != (self.nsim,):
            raise ConfigError(f"a reset mask of shape {mask.shape} was given: give ({self.nsim},), one for each arm")
        sims = np.arange(self.nsim) if mask is None else np.flatnonzero(mask)
        if episodes is not None and len(episodes) != len(sims):
            raise ConfigError(f"{len(episodes)} episodes were given for {len(sims)} simulations: give one for each")
        self._start(sims, episodes)
        return self._observations.copy()

    def step(
        self, actions: FloatArray
    ) -> tuple[FloatArray, FloatArray, BoolArray, BoolArray, dict[str, FloatArray | BoolArray]]:
        """Change the targets by `actions` (nsim, n), clipped to -1..1, and let one period pass in every simulation.

        Returns:
            observation (nsim, size), reward (nsim,), terminated (nsim,) which never is, truncated (nsim,), and info:
            `success` (nsim,), `distance` (nsim,) [m] and `final_observation` (nsim, size), of the states that the
            actions led to.

        Raises:
            LimitViolation: the actions have another shape; nothing moved.
            NonFiniteCommand: an action holds NaN or infinity; nothing moved.
            SimulationError: the physics of some simulations diverged: reset those.
        """
        if actions.shape != self._targets.shape:
            raise LimitViolation(f"{self.task.name}: actions of shape {actions.shape}: give {self._targets.shape}")
        if not np.isfinite(actions).all():
            bad = np.flatnonzero(~np.isfinite(actions).all(axis=-1)).tolist()
            raise NonFiniteCommand(f"{self.task.name}: the actions of simulations {bad} are not finite: give -1..1")
        before = self._observations
        self._targets = self.task.next_targets(self._targets, actions)
        self._ctrl[:, self._world.addresses.control] = self._targets
        self._advance()
        self._steps += 1
        final = self._observe()
        self._observations = final.copy()
        reward = self.task.reward(before, actions, final)
        distance = self.task.distance(final)
        truncated = self._steps >= self.task.time_limit
        if truncated.any():
            self._start(np.flatnonzero(truncated), None)
        info: dict[str, FloatArray | BoolArray] = {
            "success": distance < self.task.tolerance,
            "distance": distance,
            "final_observation": final,
        }
        return self._observations.copy(), reward, np.zeros(self.nsim, np.bool_), truncated, info

    def _advance(self) -> None:
        try:
            self._batch.step(nstep=self._world.substeps, stage=_PLACES_UP_TO_DATE)
        except mujoco.batch.SimulationError as error:
            raise SimulationError(f"{self.task.name}: {error}: reset these simulations") from error
        diverged = np.flatnonzero(self._batch.warning.any(axis=(1, 2)))
        if diverged.size:
            raise SimulationError(f"{self.task.name}: the physics diverged in {diverged.tolist()}: reset these")

    def _start(self, sims: NDArray[np.intp], episodes: Sequence[Episode] | None) -> None:
        """Start episodes in `sims` (k,), drawn where none are given."""
        for place, sim in enumerate(sims.tolist()):
            random, model = self._randoms[sim], self._models[sim]
            if self._randomization is not None:
                self.truths[sim] = self._randomization.draw(self._base_truth, random)
                apply_truth(model, self.task.arm, self.truths[sim])
            drawn = self.task.draw_episode(self._workspace, random) if episodes is None else episodes[place]
            self._world.start(model, self._scratch, drawn)
            self._targets[sim], self._goals[sim] = drawn.joints, drawn.goal
            mujoco.mj_getState(model, self._scratch, self._batch.state[sim], int(_STATE))
        if self._randomization is not None:
            self._batch.set_models(self._models)
        self._steps[sims] = 0
        self._batch.warning[sims] = 0
        self._batch.forward(sims, stage=_PLACES_UP_TO_DATE)
        self._observations = self._observe()

    def _observe(self) -> FloatArray:
        return self._world.observe(self._qpos, self._qvel, self._site_xpos, self._targets, self._goals)
