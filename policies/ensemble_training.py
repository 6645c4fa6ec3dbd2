"""Fitting a `ProbabilisticEnsemble`: the loss of PETS, bootstrap, early stopping and elites of MBPO.

For member k with scaled mean μ, bounded log-variance l and scaled targets y, over b rows and o outputs, the loss is
(Chua et al. 2018, appendix A.1, and the authors' `BNN.py`)

    Σ_k mean_{b,o}( (μ - y)² exp(-l) + l )  +  0.01 (Σ max - Σ min)  +  Σ_layers decay / 2 · Σ W²

The decay's gradient, decay · W, is Adam's own `weight_decay`. With `beta` above 0, each term of the mean is weighted
with exp(beta l), taken as a constant: β-NLL (Seitzer et al. 2022, arXiv:2203.09168, equation 5).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.ensemble import EnsembleSettings, ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_data import FloatRows, Scaler, check_rows, fit_scaler

_MOMENTS: Final = ("step", "exp_avg", "exp_avg_sq")
"""What Adam keeps of each parameter."""


class EpochReport(NamedTuple):
    """One pass over the data.

    Attributes:
        epoch: passes done.
        epochs: passes at most.
        loss: mean of the loss over the pass's batches.
        held_out_error: (m,) mean squared error of scaled targets on held-out rows; NaN without any.
    """

    epoch: int
    epochs: int
    loss: float
    held_out_error: tuple[float, ...]


class FitReport(NamedTuple):
    """A fit that has ended.

    Attributes:
        rows: fitted to.
        held_out_rows: not fitted to.
        epochs: passes done.
        early: it ended because held-out rows gained no more.
        held_out_error: (m,) of the weights that were kept, as in `EpochReport`.
        elites: members that predict, the best first.
    """

    rows: int
    held_out_rows: int
    epochs: int
    early: bool
    held_out_error: tuple[float, ...]
    elites: tuple[int, ...]


Progress = Callable[[EpochReport], None]
"""Told after each epoch; the trainer may be saved there, and what it raises interrupts the fit."""


def gaussian_loss(mean: Tensor, log_variance: Tensor, target: Tensor, beta: float = 0.0) -> Tensor:
    """(m,) mean over rows and outputs of twice the negative log-likelihood, but for its constant; all (m, b, o).

    Each term is weighted with its variance to the power of `beta`, through which no gradient goes.
    """
    loss = (mean - target).square() * torch.exp(-log_variance) + log_variance
    if beta > 0.0:
        loss = loss * torch.exp(beta * log_variance.detach())
    return loss.mean(dim=(1, 2))


@dataclass(slots=True)
class _Fit:
    """A fit under way.

    Attributes:
        digest: of the data, (32,) uint8.
        order: (m, n) rows of the data that each member is fitted to, in the order of the last epoch.
        epoch, epochs: passes done and at most.
        waited: epochs since the last gain.
        errors: (m,) held-out errors of `best`.
        best: copies of the parameters with the least mean of held-out errors so far. All members' at one time,
            because they share the bounds.
    """

    digest: Tensor
    order: Tensor
    epoch: int
    epochs: int
    waited: int
    errors: Tensor
    best: list[Tensor]


class EnsembleTrainer:
    """Fits one ensemble, again and again as data come in.

    Everything random comes from the generator that was passed in, so one seed gives one result, bit by bit, on one
    machine with one number of threads.

    Attributes:
        ensemble: what is fitted, in place.
        settings: the ensemble's.
    """

    def __init__(self, ensemble: ProbabilisticEnsemble, settings: EnsembleSettings, generator: torch.Generator) -> None:
        """Make a trainer that has seen no data.

        Raises:
            ConfigError: `settings` are of another ensemble.
        """
        sizes = settings.model_dump(include={"members", "hidden", "elites"})
        made_with = ensemble.settings.model_dump(include=set(sizes))
        if sizes != made_with:
            raise ConfigError(f"ensemble training settings {sizes} for an ensemble of {made_with}: give its own")
        self.ensemble, self.settings = ensemble, settings
        self._generator = generator
        self._held_out = torch.zeros(0, dtype=torch.bool)
        self._fit: _Fit | None = None
        self._start_optimizer()

    @property
    def unfinished(self) -> bool:
        """Whether a fit was interrupted, so that `resume` goes on with it."""
        return self._fit is not None

    def fit(self, inputs: FloatRows, targets: FloatRows, progress: Progress | None = None) -> FitReport:
        """Fit to `inputs` (n, i) and `targets` (n, o) until held-out rows gain no more, at most `epochs` passes.

        Starts from the present weights with a fresh optimizer, held-out rows and scalers.

        Raises:
            ConfigError: too few rows, other shapes, values that are not finite, a dimension that does not change, or
                a fit that diverged.
        """
        check_rows(self.ensemble, inputs, targets, self.settings.least_rows)
        self._held_out = self._draw_held_out(len(inputs), torch.zeros(0, dtype=torch.bool))
        self._begin(inputs, targets, self.settings.epochs)
        self._start_optimizer()
        return self.resume(inputs, targets, progress)

    def refit(self, inputs: FloatRows, targets: FloatRows, progress: Progress | None = None) -> FitReport:
        """Go on with all data so far, of which the rows of earlier fits come first; at most `refit_epochs` passes.

        Scalers and the bootstrap are made anew. Optimizer and held-out rows are kept, the share of the new rows is
        held out as well.

        Raises:
            ConfigError: as `fit`, or fewer rows than before.
        """
        check_rows(self.ensemble, inputs, targets, max(self.settings.least_rows, len(self._held_out)))
        self._held_out = self._draw_held_out(len(inputs), self._held_out)
        self._begin(inputs, targets, self.settings.refit_epochs)
        return self.resume(inputs, targets, progress)

    def resume(self, inputs: FloatRows, targets: FloatRows, progress: Progress | None = None) -> FitReport:
        """Go on with an interrupted fit of the same data, to the same weights as without the interruption.

        Raises:
            ConfigError: there is none, the data are others, or the fit diverged.
        """
        fit = self._fit
        if fit is None:
            raise ConfigError("ensemble has no interrupted fit to resume: call fit or refit")
        if not torch.equal(fit.digest, _digest(inputs, targets)):
            raise ConfigError(f"ensemble fit was interrupted with other data than these {len(inputs)} rows: give those")
        z, y = self._scale(inputs, targets)
        held_out = self._held_out.nonzero().squeeze(1)
        while fit.epoch < fit.epochs and fit.waited < self.settings.patience:
            loss = self._epoch(fit, z, y)
            errors = self._errors(z[held_out], y[held_out])
            self._keep_best(fit, errors)
            fit.epoch += 1
            if progress is not None:
                progress(EpochReport(fit.epoch, fit.epochs, loss, tuple(errors.tolist())))
        return self._end(fit, len(held_out))

    def state_dict(self) -> dict[str, Tensor]:
        """All that fitting depends on, as a flat mapping of tensors: weights, scalers, Adam, random state, a fit."""
        state = {f"ensemble.{name}": tensor.detach().clone() for name, tensor in self.ensemble.state_dict().items()}
        for index, moments in self._optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{index}.{name}": moments[name].clone() for name in _MOMENTS}
        state |= {"random": self._generator.get_state(), "held_out": self._held_out.clone()}
        if (fit := self._fit) is not None:
            state |= {f"fit.best.{index}": tensor.clone() for index, tensor in enumerate(fit.best)}
            state |= {
                "fit.digest": fit.digest.clone(),
                "fit.order": fit.order.clone(),
                "fit.counts": torch.tensor([fit.epoch, fit.epochs, fit.waited]),
                "fit.errors": fit.errors.clone(),
            }
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what `state_dict` of a trainer with the same settings gave.

        Raises:
            ConfigError: a tensor is missing, unknown or of another shape.
        """
        try:
            self.ensemble.load_state_dict(_below(state, "ensemble."))
            self._load_optimizer(_below(state, "optimizer."))
            self._generator.set_state(state["random"])
            self._held_out = state["held_out"].clone()
            self._fit = _load_fit(_below(state, "fit."))
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"ensemble state does not fit this ensemble ({reason}): load it with its own") from error

    def _start_optimizer(self) -> None:
        ensemble, decays = self.ensemble, self.settings.weight_decay
        groups: list[dict[str, object]] = [
            {"params": [weight], "weight_decay": decay} for weight, decay in zip(ensemble.weights, decays, strict=True)
        ]
        groups.append({"params": [*ensemble.biases, ensemble.max_log_variance, ensemble.min_log_variance]})
        self._optimizer = torch.optim.Adam(groups, lr=self.settings.learning_rate, fused=True)

    def _load_optimizer(self, moments: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in moments.items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = tensor.clone()
        self._start_optimizer()
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _draw_held_out(self, rows: int, known: Tensor) -> Tensor:
        """(rows,) `known`, and for the rows after those whether they are held out: the share of them all, rounded."""
        share = min(round(rows * self.settings.held_out), self.settings.held_out_limit)
        fresh = torch.zeros(rows - len(known), dtype=torch.bool)
        chosen = torch.randperm(len(fresh), generator=self._generator)
        fresh[chosen[: max(0, share - int(known.sum()))]] = True
        return torch.cat((known, fresh))

    def _begin(self, inputs: FloatRows, targets: FloatRows, epochs: int) -> None:
        ensemble, fitted = self.ensemble, (~self._held_out).nonzero().squeeze(1)
        input_scaler = fit_scaler("input", ensemble.input_names, inputs[fitted.numpy()])
        target_scaler = fit_scaler("output", ensemble.output_names, targets[fitted.numpy()])
        output_scaler = target_scaler if self.settings.scale_outputs else Scaler.identity(ensemble.outputs)
        for buffer, value in (
            (ensemble.input_mean, input_scaler.mean),
            (ensemble.input_deviation, input_scaler.deviation),
            (ensemble.output_mean, output_scaler.mean),
            (ensemble.output_deviation, output_scaler.deviation),
            (ensemble.target_deviation, target_scaler.deviation),
        ):
            buffer.copy_(value)
        z, y = self._scale(inputs, targets)
        draws = torch.randint(len(fitted), (ensemble.members, len(fitted)), generator=self._generator)
        self._fit = _Fit(
            digest=_digest(inputs, targets),
            order=fitted[draws],
            epoch=0,
            epochs=epochs,
            waited=0,
            errors=self._errors(z[self._held_out], y[self._held_out]),
            best=[parameter.detach().clone() for parameter in ensemble.parameters()],
        )

    def _scale(self, inputs: FloatRows, targets: FloatRows) -> tuple[Tensor, Tensor]:
        ensemble = self.ensemble
        return (
            (torch.tensor(inputs) - ensemble.input_mean) / ensemble.input_deviation,
            (torch.tensor(targets) - ensemble.output_mean) / ensemble.output_deviation,
        )

    def _epoch(self, fit: _Fit, z: Tensor, y: Tensor) -> float:
        """One pass of each member over its own rows in a new order; the mean loss.

        Raises:
            ConfigError: the loss is not finite.
        """
        shuffle = torch.rand(fit.order.shape, generator=self._generator).argsort(dim=1)
        fit.order = fit.order.gather(1, shuffle)
        total = torch.zeros(())
        batches = torch.split(fit.order, self.settings.batch_size, dim=1)
        for rows in batches:
            loss = self._loss(z[rows], y[rows])
            self._optimizer.zero_grad()
            torch.autograd.backward(loss)
            self._optimizer.step()
            total += loss.detach()
        mean = total.item() / len(batches)
        if not mean - mean == 0.0:
            raise ConfigError(
                f"ensemble fit diverged in epoch {fit.epoch + 1} (loss {mean}) at learning_rate = "
                f"{self.settings.learning_rate:g}: lower it"
            )
        return mean

    def _loss(self, z: Tensor, y: Tensor) -> Tensor:
        """() of scaled inputs (m, b, i) and targets (m, b, o), without the decay."""
        ensemble = self.ensemble
        bounds = ensemble.max_log_variance.sum() - ensemble.min_log_variance.sum()
        return gaussian_loss(*ensemble.scaled(z), y, self.settings.beta).sum() + self.settings.bound_weight * bounds

    @torch.no_grad()
    def _errors(self, z: Tensor, y: Tensor) -> Tensor:
        """(m,) mean squared error of scaled targets (b, o); NaN when b is 0."""
        mean, _ = self.ensemble.scaled(z.expand(self.ensemble.members, *z.shape))
        return (mean - y).square().mean(dim=(1, 2))

    @torch.no_grad()
    def _keep_best(self, fit: _Fit, errors: Tensor) -> None:
        if errors.isnan().all():
            return
        fit.waited += 1
        if errors.mean() < (1.0 - self.settings.least_gain) * fit.errors.mean():
            fit.errors, fit.waited = errors, 0
            fit.best = [parameter.detach().clone() for parameter in self.ensemble.parameters()]

    @torch.no_grad()
    def _end(self, fit: _Fit, held_out_rows: int) -> FitReport:
        if held_out_rows:
            for parameter, kept in zip(self.ensemble.parameters(), fit.best, strict=True):
                parameter.copy_(kept)
            self.ensemble.elites.copy_(fit.errors.argsort(stable=True)[: self.settings.elites])
        self._fit = None
        return FitReport(
            rows=fit.order.shape[1],
            held_out_rows=held_out_rows,
            epochs=fit.epoch,
            early=fit.epoch < fit.epochs,
            held_out_error=tuple(fit.errors.tolist()),
            elites=tuple(self.ensemble.elites.tolist()),
        )


def _digest(inputs: FloatRows, targets: FloatRows) -> Tensor:
    """(32,) uint8, SHA-256 of both arrays' shapes and values."""
    digest = hashlib.sha256(repr((inputs.shape, targets.shape)).encode())
    digest.update(inputs.tobytes())
    digest.update(targets.tobytes())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _load_fit(state: dict[str, Tensor]) -> _Fit | None:
    if not state:
        return None
    epoch, epochs, waited = (int(count) for count in state["counts"])
    best = [state[f"best.{index}"].clone() for index in range(sum(name.startswith("best.") for name in state))]
    return _Fit(
        digest=state["digest"].clone(),
        order=state["order"].clone(),
        epoch=epoch,
        epochs=epochs,
        waited=waited,
        errors=state["errors"].clone(),
        best=best,
    )
