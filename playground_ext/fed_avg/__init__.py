"""Horizontal federated learning: FedAvg and FedSGD (McMahan et al., 2017), FedProx (Li et al., 2020), and FedAvg with
differential privacy (McMahan et al., 2018) or secure aggregation (Bonawitz et al., 2017).

What differential privacy and secure aggregation need is imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from playground_ext.fed_avg.aggregation import Update, weighted_average
from playground_ext.fed_avg.fed_prox import FedProxScheduler
from playground_ext.fed_avg.fed_sgd import FedSGDScheduler
from playground_ext.fed_avg.scheduler import FedAvgScheduler

if TYPE_CHECKING:
    from playground_ext.fed_avg.dp_fed_avg import DPFedAvgScheduler
    from playground_ext.fed_avg.secure_fed_avg import SecureFedAvgScheduler

__all__ = [
    "DPFedAvgScheduler",
    "FedAvgScheduler",
    "FedProxScheduler",
    "FedSGDScheduler",
    "SecureFedAvgScheduler",
    "Update",
    "weighted_average",
]

_HOMES = {
    "DPFedAvgScheduler": "playground_ext.fed_avg.dp_fed_avg",
    "SecureFedAvgScheduler": "playground_ext.fed_avg.secure_fed_avg",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
