"""`Rollouts`: what candidate sequences of actions cost on a learned ensemble, in small blocks on all cores.

Trajectory sampling as TS∞ in PETS (Chua et al. 2018, section 5): e nets carry r particles each, always the same ones,
through every candidate. The noise is drawn once a plan and is the same for all candidates and all nets: differences
between candidates are then the candidates', and differences between nets the nets'. The cost of a candidate is

    J = - Σ_t mean_{k,j} reward_t^{kj}  -  mean_{k,j} V(s_h^{kj})  +  w_e Σ_t E_t  +  w_v Σ_t max(0, P_t - δ)
    E_t = sqrt( mean_o( variance over nets k of mean_j μ_t^{kj} / (typical change of o)² ) )
    P_t = share of the particles that violate a limit after step t

with μ what net k expects where its particle j is, before noise is drawn. Net by net mean and the variance between these
is how PETS tells what more data would cure from noise: E_0 is the ensemble's disagreement on the first step, later ones
also count that the nets' states have moved apart. P_t <= δ is the chance constraint, on the particles. V is what the
last state is worth (see `policies.guide`), 0 without one. Wherever a state, a reward or a sum is not finite, J
is infinity, the worst there is.

Shapes: n candidates, e nets, r particles a net, h steps, d states, a actions, o outputs.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from robot_mbrl.contracts.config import Settings
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.guide import Guide
from robot_mbrl.policies.packed_ensemble import Kernel, PackedEnsemble
from robot_mbrl.policies.task_model import LinearInputTask, TaskModel


class RolloutSettings(Settings):
    """How candidates are rolled out, and what they cost.

    Attributes:
        particles_per_net: r.
        epistemic_weight: w_e, reward that a step loses when the nets differ by a typical change. 0 leaves the penalty
            out, and with it a second evaluation of the nets where the task's inputs are linear.
        violation_weight: w_v, reward that a step loses when all particles violate a limit.
        violation_chance: δ, share of the particles that may.
        rows: candidates times r that a block holds. Measured, speed grows up to about 256 rows; thousands leave the
            cache (`robot-mbrl bench planner`).
        threads: blocks that are rolled out side by side, or parts of a single one where the task's inputs are linear.
        kernel: what evaluates the nets, see `policies.packed_ensemble`; "auto" takes the fastest that works here.
    """

    particles_per_net: int = Field(default=1, ge=1)
    epistemic_weight: float = Field(default=0.0, ge=0.0)
    violation_weight: float = Field(default=1.0, ge=0.0)
    violation_chance: float = Field(default=0.0, ge=0.0, le=1.0)
    rows: int = Field(default=256, ge=1)
    threads: int = Field(default=2, ge=1)
    kernel: Kernel | Literal["auto"] = "auto"


class Outcome(NamedTuple):
    """What became of n candidates.

    Attributes:
        costs: (n,) J; infinity where a number was not finite.
        values: (n,) sum of rewards and of V, mean over the particles; -infinity where J is infinite.
        states: (h + 1, n, d) mean over the particles.
    """

    costs: Tensor
    values: Tensor
    states: Tensor


class Rollouts:
    """Rolls candidates out for one task on one ensemble."""

    def __init__(
        self,
        task: TaskModel,
        ensemble: ProbabilisticEnsemble,
        settings: RolloutSettings,
        generator: torch.Generator,
        guide: Guide | None = None,
    ) -> None:
        """Take over the ensemble's present weights, draw noise from `generator`, end plans with `guide`'s value."""
        self._task, self._ensemble, self._settings, self._generator = task, ensemble, settings, generator
        self._guide = guide
        self._linear = task if isinstance(task, LinearInputTask) else None
        # torch's own threads wait for each other in every operation; blocks wait only at the end of an iteration.
        self._pool = ThreadPoolExecutor(settings.threads, "rollout", initializer=torch.set_num_threads, initargs=(1,))
        self.refresh()

    def refresh(self) -> None:
        """Take over the present weights of the ensemble and of the guide."""
        self._nets = PackedEnsemble(self._ensemble, self._settings.kernel)
        if self._guide is not None:
            self._guide.refresh(self._settings.kernel)
        self._typical_change = self._ensemble.target_deviation.clone()

    def draw_noise(self, horizon: int) -> Tensor:
        """Standard normal noise (h, 1, r, 1, o) for all nets and candidates of a plan."""
        shape = (horizon, 1, self._settings.particles_per_net, 1, self._task.outputs)
        return torch.randn(shape, generator=self._generator)

    def __call__(self, start: Tensor, actions: Tensor, noise: Tensor) -> Outcome:
        """Roll `actions` (n, h, a) out from `start` (d,) with `noise` (h, e or 1, r, n or 1, o)."""
        n, r, threads = len(actions), self._settings.particles_per_net, self._settings.threads
        each = noise.expand(-1, self._nets.members, r, n, -1)
        if self._linear is not None and n * r <= self._settings.rows:
            return self._block(start, actions, each, min(threads, n))
        count = _even_blocks(n, self._settings.rows // r, threads)
        blocks = zip(actions.tensor_split(count), each.tensor_split(count, dim=3), strict=True)
        jobs = [self._pool.submit(self._block, start, *block) for block in blocks]
        costs, values, states = zip(*(job.result() for job in jobs), strict=True)
        return Outcome(torch.cat(costs), torch.cat(values), torch.cat(states, dim=1))

    @torch.no_grad()
    def actions(self, start: Tensor, candidates: Tensor) -> Tensor:
        """What `candidates` (n, h, a) do from `start` (d,) on, (n, h, a): with a guide, they are added to its policy.

        Each follows the policy where the nets' mean expects it to be by then, so that one that leaves the policy's way
        is answered as the policy would, not led by what it would have done elsewhere. The policy is kept to the range
        of actions before anything is added: it may know a wider one, and could not be led back from far outside.
        """
        if self._guide is None:
            return candidates
        task, state, made = self._task, start.expand(len(candidates), -1), []
        for added in candidates.unbind(dim=1):
            policy = self._guide.action(state).clamp(task.action_low, task.action_high)
            made.append((policy + added).clamp(task.action_low, task.action_high))
            inputs = task.model_inputs(state, made[-1])
            mean, _ = self._nets(inputs.expand(self._nets.members, *inputs.shape))
            state = task.next_state(state, made[-1], mean.mean(dim=0))
        return torch.stack(made, dim=1)

    @torch.no_grad()
    def _block(self, start: Tensor, actions: Tensor, noise: Tensor, threads: int = 1) -> Outcome:
        """What becomes of some of the candidates; the nets of linear inputs are evaluated on `threads` threads."""
        sequence, doubts = actions.transpose(0, 1), self._settings.epistemic_weight > 0.0
        if self._linear is None:
            states, means = self._step_by_step(start, sequence, noise)
            return self._judge(states, means if doubts else None, sequence)
        known, matrix = self._linear.known_inputs(start, sequence), self._linear.input_matrix
        learned = self._in_one_go(self._linear.learned(start), known, matrix, noise, threads)
        expected = self._means(learned[:-1], known, matrix) if doubts else None
        return self._judge(self._linear.states_along(start, known, learned), expected, sequence)

    def _means(self, learned: Tensor, known: Tensor, matrix: Tensor) -> Tensor:
        """What each net expects (h, e, r, n, o) along `learned` (h, e, r, n, o), of which only draws were kept."""
        inputs = (learned @ matrix + known[:, None, None]).transpose(0, 1)
        e, h, r, n, _ = inputs.shape
        mean, _ = self._nets(inputs.reshape(e, h * r * n, -1))
        return mean.view(e, h, r, n, -1).transpose(0, 1)

    def _in_one_go(self, start: Tensor, known: Tensor, matrix: Tensor, noise: Tensor, threads: int) -> Tensor:
        """`PackedEnsemble.carry`, the candidates in `threads` parts.

        Only this leaves the interpreter's lock for long: of torch's many small operations on a small block, two threads
        do no more than one.
        """
        if threads == 1:
            return self._nets.carry(start, known, matrix, noise)
        parts = zip(known.tensor_split(threads, dim=1), noise.tensor_split(threads, dim=3), strict=True)
        jobs = [self._pool.submit(self._nets.carry, start, of_part, matrix, draws) for of_part, draws in parts]
        return torch.cat([job.result() for job in jobs], dim=3)

    def _step_by_step(self, start: Tensor, actions: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """States (h + 1, e, r, n, d) along `actions` (h, n, a), and what the nets expected (h, e, r, n, o) of them."""
        task, (e, r, n) = self._task, noise.shape[1:4]
        states, means = [start.expand(e, r, n, -1)], []
        for action, draw in zip(actions, noise, strict=True):
            repeated = action.expand(e, r, n, -1)
            inputs = task.model_inputs(states[-1], repeated)
            mean, deviation = self._nets(inputs.reshape(e, r * n, -1))
            means.append(mean.view(e, r, n, -1))
            drawn = torch.addcmul(means[-1], deviation.view(e, r, n, -1), draw)
            states.append(task.next_state(states[-1], repeated, drawn))
        return torch.stack(states), torch.stack(means)

    def _judge(self, states: Tensor, means: Tensor | None, actions: Tensor) -> Outcome:
        """Costs of states (h + 1, e, r, n, d) and actions (h, n, a); `means` as in `_risk`."""
        repeated = actions[:, None, None].expand(*states[1:].shape[:-1], -1)
        values = self._task.reward(states[:-1], repeated, states[1:]).mean(dim=(1, 2)).sum(dim=0)
        if self._guide is not None:
            values += self._guide.value(states[-1]).mean(dim=(0, 1))
        costs = self._risk(means, states[1:]) - values
        # A reward may be a number where the state is none, such as one for being somewhere.
        usable = costs.isfinite() & states.isfinite().all(dim=-1).flatten(0, 2).all(dim=0)
        return Outcome(
            torch.where(usable, costs, torch.inf), torch.where(usable, values, -torch.inf), states.mean(dim=(1, 2))
        )

    def _risk(self, means: Tensor | None, states: Tensor) -> Tensor:
        """`Σ_t w_e E_t + w_v max(0, P_t - δ)` (n,) of the states (h, e, r, n, d) after each step.

        What the nets expected of the steps (h, e, r, n, o) are the `means`, None where their spread costs nothing.
        """
        settings = self._settings
        risk = torch.zeros(states.shape[-2])
        if means is not None:
            spread = (means.mean(dim=2) / self._typical_change).var(dim=1, correction=0)
            risk += settings.epistemic_weight * spread.mean(dim=-1).sqrt().sum(dim=0)
        if settings.violation_weight > 0.0:
            violated = (self._task.violation(states) > 0.0).any(dim=-1)
            excess = violated.to(torch.float32).mean(dim=(1, 2)) - settings.violation_chance
            risk += settings.violation_weight * excess.clamp_min(0.0).sum(dim=0)
        return risk


def _even_blocks(n: int, most: int, threads: int) -> int:
    """How many blocks `n` candidates make: of at most about `most`, a multiple of `threads`."""
    count = -(-n // max(most, 1))
    return min(n, -(-count // threads) * threads)
