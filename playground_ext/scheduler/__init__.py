"""What every algorithm shares: lifecycle, rounds, seeds, metrics, data checks, results."""

from playground_ext.scheduler.data_checker import DataChecker
from playground_ext.scheduler.metric_sets import register_metrics

__all__ = ["DataChecker", "register_metrics"]
