"""FedProx: local training that does not run away from the global model (Li et al., 2020).

A party minimises h_k(w; w_t) = F_k(w) + mu/2 ‖w - w_t‖², with w_t the weights it got at the start of the round. With
mu = 0 this is FedAvg.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from playground_ext.errors import ConfigError
from playground_ext.fed_avg.scheduler import FedAvgScheduler

__all__ = ["FedProxScheduler"]


class FedProxScheduler(FedAvgScheduler):
    """FedAvg with a proximal term ("Federated Optimization in Heterogeneous Networks", Li et al., 2020).

    Call `calc_prox_loss` where `train_an_epoch` computes its loss; all else is FedAvg's, also what each party learns.

    Arguments besides those of `FedAvgScheduler`:
        mu: weight of the proximal term, at least 0; 0 is FedAvg bit for bit. The paper tries 0.001 to 1.
    """

    def __init__(self, *, mu: float = 0.01, **options: Any) -> None:
        super().__init__(**options)
        if not (isinstance(mu, int | float) and math.isfinite(mu) and mu >= 0):
            raise ConfigError(f"mu={mu!r} cannot weigh the proximal term", next_step="give 0 (plain FedAvg) or more")
        self.mu = mu
        self._received: list[torch.Tensor] | None = None  # w_t, in the order of model.parameters(), during training

    def calc_prox_loss(self, fn: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> torch.Tensor:
        """The loss fn(*args, **kwargs) + mu/2 ‖w - w_t‖², over all parameters that are trained.

        Raises:
            ConfigError: called outside `train_an_epoch`, where there is no w_t.
        """
        loss = fn(*args, **kwargs)
        if self.mu == 0:
            return loss  # not even a zero is added
        if self._received is None:
            raise ConfigError(
                "calc_prox_loss() compares with the weights of the round, and no round is being trained",
                next_step="call it in train_an_epoch(); in run_test() use the loss function itself",
            )
        pairs = zip(self.model.parameters(), self._received, strict=True)
        squares = [(weight - start.to(weight.device)).square().sum() for weight, start in pairs if weight.requires_grad]
        return loss + self.mu / 2 * torch.stack(squares).sum() if squares else loss

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "mu": self.mu}

    def _train(self) -> None:
        self._received = [weight.detach().clone() for weight in self.model.parameters()]
        try:
            super()._train()
        finally:
            self._received = None
