"""`alphafed.hetero_nn`: split learning."""

from playground_ext.compat.alphafed.hetero_nn.hetero_nn import HeteroNNCollaboratorScheduler, HeteroNNHostScheduler
from playground_ext.scheduler.metric_sets import register_metrics

__all__ = ["HeteroNNCollaboratorScheduler", "HeteroNNHostScheduler", "register_metrics"]
