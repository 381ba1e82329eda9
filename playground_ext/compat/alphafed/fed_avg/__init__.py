"""`alphafed.fed_avg`: horizontal learning. What differential privacy and secure aggregation need is imported late."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from playground_ext.compat.alphafed.fed_avg.fed_avg import FedAvgScheduler, FedSGDScheduler
from playground_ext.scheduler.metric_sets import register_metrics

if TYPE_CHECKING:
    from playground_ext.compat.alphafed.fed_avg.dp_fed_avg import DPFedAvgScheduler
    from playground_ext.compat.alphafed.fed_avg.fed_prox import FedProxScheduler
    from playground_ext.compat.alphafed.fed_avg.secure_fed_avg import SecureFedAvgScheduler

__all__ = [
    "DPFedAvgScheduler",
    "FedAvgScheduler",
    "FedProxScheduler",
    "FedSGDScheduler",
    "SecureFedAvgScheduler",
    "register_metrics",
]

_HOMES = {
    "DPFedAvgScheduler": "dp_fed_avg",
    "FedProxScheduler": "fed_prox",
    "SecureFedAvgScheduler": "secure_fed_avg",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'alphafed.fed_avg' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
