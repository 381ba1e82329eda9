"""FedProx in AlphaMed's dialect."""

from __future__ import annotations

from typing import Any, ClassVar

from playground_ext.compat.alphafed.fed_avg.fed_avg import AggregationDialect
from playground_ext.compat.dialect import timeouts
from playground_ext.compat.talk import KINDS
from playground_ext.fed_avg.fed_prox import FedProxScheduler as Native

__all__ = ["FedProxScheduler"]


class FedProxScheduler(AggregationDialect, Native):
    """See `playground_ext.fed_avg.FedProxScheduler`: compute the loss with `calc_prox_loss(fn, *args)`.

    AlphaMed's adds mu/2 ‖w - w_t‖ layer by layer, without the square; this is the term of the paper.
    """

    kinds: ClassVar[tuple[str, ...]] = (*Native.kinds, *KINDS)

    def __init__(
        self,
        max_rounds: int = 0,
        merge_epochs: int = 1,
        calculation_timeout: float = 300,
        schedule_timeout: float = 30,
        log_rounds: int = 0,
        involve_aggregator: bool = False,
        mu: float = 0.01,
        *,
        data_channel_timeout: tuple[float, float] | None = None,
        **of_2022: Any,
    ) -> None:
        Native.__init__(
            self,
            mu=mu,
            max_rounds=max_rounds or 1,
            merge_epochs=merge_epochs,
            calculation_timeout=calculation_timeout,
            schedule_timeout=timeouts(schedule_timeout, data_channel_timeout),
            log_rounds=log_rounds,
            involve_aggregator=involve_aggregator,
        )
        self._understand(max_rounds, **of_2022)
