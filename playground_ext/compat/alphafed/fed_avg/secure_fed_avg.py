"""FedAvg with secure aggregation in AlphaMed's dialect."""

from __future__ import annotations

from typing import Any, ClassVar

from playground_ext.compat.alphafed.fed_avg.fed_avg import AggregationDialect
from playground_ext.compat.dialect import timeouts
from playground_ext.compat.talk import KINDS
from playground_ext.fed_avg.secure_fed_avg import SecureFedAvgScheduler as Native

__all__ = ["SecureFedAvgScheduler"]


class SecureFedAvgScheduler(AggregationDialect, Native):
    """See `playground_ext.fed_avg.SecureFedAvgScheduler`. `t`: collaborators that suffice to recover a lost one."""

    kinds: ClassVar[tuple[str, ...]] = (*Native.kinds, *KINDS)
    _nobody_rests = "masks are agreed between all collaborators"

    def __init__(
        self,
        t: int,
        max_rounds: int = 0,
        merge_epochs: int = 1,
        calculation_timeout: float = 300,
        schedule_timeout: float = 30,
        log_rounds: int = 0,
        *,
        data_channel_timeout: tuple[float, float] | None = None,
        **of_2022: Any,
    ) -> None:
        Native.__init__(
            self,
            t,
            max_rounds=max_rounds or 1,
            merge_epochs=merge_epochs,
            calculation_timeout=calculation_timeout,
            schedule_timeout=timeouts(schedule_timeout, data_channel_timeout),
            log_rounds=log_rounds,
        )
        self._understand(max_rounds, **of_2022)
