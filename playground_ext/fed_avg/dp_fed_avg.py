"""DP-FedAvg: federated averaging that bounds what the model says about any one party (McMahan et al., 2018).

The maths is in `differential_privacy`, the accountant in `privacy_accounting`; here is the protocol, which is FedAvg's.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from playground_ext.errors import AggregationError, ConfigError
from playground_ext.fed_avg.aggregation import StateDict, Update
from playground_ext.fed_avg.differential_privacy import (
    bounded_average,
    capped_weight,
    clip_factor,
    noise_deviation,
    noisy,
)
from playground_ext.fed_avg.os_random import poisson_sample
from playground_ext.fed_avg.privacy_accounting import INSTALL, epsilon, load_accountant
from playground_ext.fed_avg.scheduler import FedAvgScheduler

__all__ = ["DPFedAvgScheduler"]

logger = logging.getLogger("playground")


class DPFedAvgScheduler(FedAvgScheduler):
    """FedAvg with differential privacy for each party as a whole. Write `train_a_batch(*batch)` instead of an epoch.

    Arguments besides those of `FedAvgScheduler`, in AlphaMed's names:
        w_cap: samples from which on a party has the full weight 1; below, its weight is samples / w_cap. Above 0.
        q: probability with which each party is sampled in a round, independently of the others; above 0, at most 1.
        S: clipping bound, the greatest length (L2, over all weights together, in units of the weights) of what a
            party may change in a round. Above 0.
        z: noise multiplier. The noise on each averaged weight has the standard deviation z·S/(q·W), with W the sum of
            the parties' weights. 0 is no noise and no privacy; 1 and more is usual where there are many parties.
        delta: the δ of (ε, δ), for the ε that is reported; below 1 divided by the number of parties.

    What it protects: the models of all rounds together, and everything computed from them, are (ε, δ)-differentially
    private with respect to adding or removing one party with all its samples, for those who see the models: the other
    parties and whoever gets the final model. They do not learn who was sampled: all parties train, and the aggregator
    leaves out those that are not. The noise shrinks with the number of parties, not with their samples; with few
    parties there is either little privacy or little accuracy.

    What it does not protect: the aggregator sees every party's clipped update and sample count, and is trusted to add
    the noise. W is treated as public, as in the paper. Log lines and metrics of the training go to everybody; numbers
    that `train_an_epoch` returns are therefore not published.

    Weights that are trained are averaged; buffers stay as the aggregator built them, so BatchNorm's running statistics
    are refused.
    """

    def __init__(
        self,
        w_cap: float,
        q: float,
        S: float,
        z: float,
        *,
        delta: float = 1e-5,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        limits = [
            ("w_cap", w_cap, 0 < w_cap < math.inf, "samples from which on a party has its full weight, above 0"),
            ("q", q, 0 < q <= 1, "a probability above 0; 1 takes every party in every round"),
            ("S", S, 0 < S < math.inf, "the greatest length of an update, above 0"),
            ("z", z, 0 <= z < math.inf, "noise over sensitivity, 0 (no privacy) or more"),
            ("delta", delta, 0 < delta < 1, "a probability such as 1e-5"),
        ]
        for name, value, fits, meaning in limits:
            if not fits:
                raise ConfigError(f"{name}={value!r} is out of range", next_step=f"give {meaning}")
        self.w_cap, self.q, self.S, self.z, self.delta = w_cap, q, S, z, delta
        self._start: StateDict = {}  # the global model of the round
        self._weights: dict[str, float] = {}  # of all parties that were ever heard, for W
        self._accounting = False

    # -- hooks ------------------------------------------------------------------------------------------------------

    def train_a_batch(self, *batch: Any) -> None:
        """One step of `self.optimizer` on one batch of `self.train_loader`, whose parts are the arguments."""
        raise self._hook_missing("train_a_batch")

    def train_an_epoch(self) -> Mapping[str, float] | None:
        """`train_a_batch` for every batch, and after each what was learned so far is clipped, as the paper does."""
        self.model.train()
        for batch in self.train_loader:
            self.train_a_batch(*batch if isinstance(batch, tuple | list) else (batch,))
            self._clip_model()
        return None

    # -- privacy ----------------------------------------------------------------------------------------------------

    def privacy_spent(self) -> float:
        """The ε of all rounds so far, for `delta`; infinite if z is 0.

        Raises:
            ConfigError: the accountant is not installed.
        """
        return epsilon(q=self.q, z=self.z, rounds=self.current_round, delta=self.delta)

    def validate_context(self) -> None:
        """Raises ConfigError for models whose buffers learn from the data."""
        super().validate_context()
        for name, module in self.model.named_modules():
            if isinstance(module, _BatchNorm) and module.track_running_stats:
                raise ConfigError(
                    f"{name or 'the model'} is a {type(module).__name__}: its running statistics are made of the data, "
                    "and neither clipping nor noise covers them",
                    next_step="use GroupNorm or LayerNorm, or track_running_stats=False",
                )

    def aggregate(self, updates: Sequence[Update]) -> StateDict:
        """The noisy average of the sampled parties' clipped updates.

        The scheduler writes the result to its checkpoint before anything that follows from it leaves this party, so
        that two different noises never cover the same updates.

        Raises:
            AggregationError: no samples at all, or weights that are not finite.
        """
        self._weights |= {update.party: capped_weight(update.samples, self.w_cap) for update in updates}
        total = sum(self._weights.values())
        if total == 0:
            raise AggregationError(
                f"the updates of {', '.join(self._weights)} hold no samples",
                next_step="give at least one party training data",
            )
        chosen = set(poisson_sample([update.party for update in updates], self.q))
        sampled = [update for update in updates if update.party in chosen]
        start = self._trained(self._start)
        average = bounded_average(
            [self._difference(update, start) for update in sampled],
            [self._weights[update.party] for update in sampled],
            like=start,
            S=self.S,
            q=self.q,
            W=total,
        )
        step = noisy(average, noise_deviation(z=self.z, S=self.S, q=self.q, W=total))
        moved = {name: (start[name].cpu().double() + step[name]).to(start[name].dtype) for name in start}
        state = {name: tensor.clone() for name, tensor in self._start.items()}
        for name, first in self._names().items():
            state[name] = moved[first].clone()
        return state

    # -- protocol ---------------------------------------------------------------------------------------------------

    def _arguments(self) -> dict[str, Any]:
        mine = {"w_cap": self.w_cap, "q": self.q, "S": self.S, "z": self.z, "delta": self.delta}
        return {**super()._arguments(), **mine}

    def _prepare(self) -> None:
        super()._prepare()
        self._weights = {}
        if self.is_aggregator:
            self._accounting = self._find_accountant()

    def _find_accountant(self) -> bool:
        if self.z == 0:
            logger.warning("z=0: no noise is added, and there is no privacy guarantee")
            return False
        try:
            load_accountant()
        except ConfigError:
            logger.warning("ε is not reported, because the accountant is not installed: %s", INSTALL)
            return False
        return True

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "weights": dict(self._weights)}

    def _restore(self, state: Mapping[str, Any]) -> None:
        super()._restore(state)
        self._weights = {str(party): float(weight) for party, weight in state["weights"].items()}

    def _collect_updates(self) -> list[Update]:
        self._start = self._copy()
        return super()._collect_updates()

    def _train(self) -> None:
        self._start = self._copy()
        super()._train()
        self._clip_model()

    def _test_and_ask(self) -> bool:
        if self._accounting:
            spent = self.privacy_spent()
            self.session.metrics.add(self.current_round, {"privacy/epsilon": spent})
            logger.info("privacy so far: ε = %.2f at δ = %g", spent, self.delta)
        return super()._test_and_ask()

    def _report(self, phase: str, values: Mapping[str, float] | None) -> None:
        if phase != "train":
            super()._report(phase, values)
        elif values and self.current_round == 1:
            logger.warning("what train_an_epoch() returns is not published: it says something about this party's data")

    # -- weights ----------------------------------------------------------------------------------------------------

    def _names(self) -> dict[str, str]:
        """Names of the weights that are trained; a tied weight's further names point to its first."""
        first: dict[nn.Parameter, str] = {}
        found = self.model.named_parameters(remove_duplicate=False)
        return {name: first.setdefault(weight, name) for name, weight in found if weight.requires_grad}

    def _trained(self, state: Mapping[str, torch.Tensor]) -> StateDict:
        return {first: state[first] for first in self._names().values()}

    def _difference(self, update: Update, start: Mapping[str, torch.Tensor]) -> StateDict:
        difference = {name: update.state[name].cpu().double() - tensor.cpu().double() for name, tensor in start.items()}
        if not all(tensor.isfinite().all() for tensor in difference.values()):
            raise AggregationError(
                f"the weights of {update.party} are not finite numbers",
                party=update.party,
                round=self.current_round,
                next_step="take a smaller learning rate",
            )
        return difference

    def _copy(self) -> StateDict:
        return {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    @torch.no_grad()
    def _clip_model(self) -> None:
        """Bring the model back to at most S from the round's global weights."""
        weights = dict(self.model.named_parameters())
        start = {name: self._start[name].to(weights[name].device) for name in weights if weights[name].requires_grad}
        difference = {name: weights[name] - tensor for name, tensor in start.items()}
        factor = clip_factor(difference, self.S)
        if factor < 1:
            for name, tensor in start.items():
                weights[name].copy_(tensor + difference[name] * factor)
