"""Federated SGD: FedAvg's limit of one full-batch step a round."""

from __future__ import annotations

from playground_ext.errors import ConfigError
from playground_ext.fed_avg.scheduler import FedAvgScheduler

__all__ = ["FedSGDScheduler"]


class FedSGDScheduler(FedAvgScheduler):
    """Federated SGD: one full-batch step a round (McMahan et al., 2017: E = 1, B = all local data)."""

    def validate_context(self) -> None:
        """Raises ConfigError unless a round is one batch with all local data."""
        super().validate_context()
        if self.merge_epochs != 1:
            raise ConfigError(
                f"FedSGD takes one step a round; merge_epochs is {self.merge_epochs}", next_step="leave it at 1"
            )
        if self.is_trainer and len(self.train_loader) != 1:
            raise ConfigError(
                f"FedSGD's batch is the whole data set; this train loader makes {len(self.train_loader)} batches",
                next_step="give build_train_dataloader() batch_size=len(dataset)",
            )
