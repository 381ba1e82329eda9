"""Vertical split learning: several parties hold different columns of the same samples, one of them the labels.

Each party turns its part of a batch into features with a model of its own; the host joins them, computes the loss, and
sends each collaborator the gradient of its features. Which samples they share is found by private set intersection.
"""

from playground_ext.hetero_nn.collaborator import HeteroNNCollaboratorScheduler
from playground_ext.hetero_nn.host import HeteroNNHostScheduler
from playground_ext.hetero_nn.models import load_models

__all__ = ["HeteroNNCollaboratorScheduler", "HeteroNNHostScheduler", "load_models"]
