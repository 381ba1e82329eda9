"""Horizontal federated learning: FedAvg and FedSGD (McMahan et al., 2017)."""

from playground_ext.fed_avg.aggregation import Update, weighted_average
from playground_ext.fed_avg.scheduler import FedAvgScheduler, FedSGDScheduler

__all__ = ["FedAvgScheduler", "FedSGDScheduler", "Update", "weighted_average"]
