"""FedAvg with differential privacy in AlphaMed's dialect."""

from __future__ import annotations

from typing import Any, ClassVar

from playground_ext.compat.alphafed.fed_avg.fed_avg import AggregationDialect
from playground_ext.compat.dialect import timeouts
from playground_ext.compat.talk import KINDS
from playground_ext.fed_avg.dp_fed_avg import DPFedAvgScheduler as Native

__all__ = ["DPFedAvgScheduler"]


class DPFedAvgScheduler(AggregationDialect, Native):
    """See `playground_ext.fed_avg.DPFedAvgScheduler`: write `train_a_batch(*batch)`."""

    kinds: ClassVar[tuple[str, ...]] = (*Native.kinds, *KINDS)
    _nobody_rests = "each is drawn with probability q, for which ε is computed"

    def __init__(
        self,
        w_cap: int,
        q: float,
        S: float,
        z: float,
        max_rounds: int = 0,
        merge_epochs: int = 1,
        calculation_timeout: float = 300,
        schedule_timeout: float = 30,
        log_rounds: int = 0,
        involve_aggregator: bool = False,
        *,
        delta: float = 1e-5,
        data_channel_timeout: tuple[float, float] | None = None,
        **of_2022: Any,
    ) -> None:
        Native.__init__(
            self,
            w_cap,
            q,
            S,
            z,
            delta=delta,
            max_rounds=max_rounds or 1,
            merge_epochs=merge_epochs,
            calculation_timeout=calculation_timeout,
            schedule_timeout=timeouts(schedule_timeout, data_channel_timeout),
            log_rounds=log_rounds,
            involve_aggregator=involve_aggregator,
        )
        self._understand(max_rounds, **of_2022)
