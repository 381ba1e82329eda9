"""What the three scripts share: a model, a scheduler, and taking part. No Jupyter anywhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from playground_ext import logger, mock_context
from playground_ext.data import mnist, split_iid
from playground_ext.fed_avg import FedAvgScheduler

__all__ = ["take_part"]

TASK = "three_scripts"
COLLABORATORS = ["collaborator-1", "collaborator-2"]
NODES = ["aggregator", *COLLABORATORS]
SAMPLES = 1500  # digits of each collaborator: a round takes a second


class ConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels=1, out_channels=10, kernel_size=5)
        self.conv2 = nn.Conv2d(in_channels=10, out_channels=20, kernel_size=5)
        self.fc1 = nn.Linear(in_features=320, out_features=50)
        self.fc2 = nn.Linear(in_features=50, out_features=10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (batch, 1, 28, 28)
        x = F.relu(F.max_pool2d(self.conv1(x), 2))  # (batch, 10, 12, 12)
        x = F.relu(F.max_pool2d(self.conv2(x), 2))  # (batch, 20, 4, 4)
        x = F.relu(self.fc1(x.flatten(start_dim=1)))  # (batch, 50)
        return F.log_softmax(self.fc2(x), dim=-1)  # (batch, 10)


class DemoAvg(FedAvgScheduler):
    def build_model(self) -> nn.Module:
        return ConvNet()

    def build_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.7)

    def build_train_dataloader(self) -> DataLoader:
        digits = mnist(train=True)
        share = split_iid(len(digits), len(COLLABORATORS), seed=0)[COLLABORATORS.index(self.id)][:SAMPLES]
        mine = TensorDataset(normalise(digits.data[share]), digits.targets[share])
        return DataLoader(mine, batch_size=32, shuffle=True)

    def build_test_dataloader(self) -> DataLoader:
        digits = mnist(train=False)
        return DataLoader(TensorDataset(normalise(digits.data), digits.targets), batch_size=500)

    def train_an_epoch(self) -> dict[str, float]:
        self.model.train()
        total, seen = 0.0, 0
        for images, labels in self.train_loader:
            self.optimizer.zero_grad()
            loss = F.nll_loss(self.model(images), labels)
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(labels)
            seen += len(labels)
        logger.info(f"I trained on {seen:,} digits")
        return {"loss": total / seen}

    @torch.no_grad()
    def run_test(self) -> dict[str, float]:
        self.model.eval()
        correct = sum((self.model(images).argmax(dim=1) == labels).sum().item() for images, labels in self.test_loader)
        return {"accuracy": correct / len(self.test_loader.dataset)}


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Bytes (digits, 28, 28) to numbers (digits, 1, 28, 28) with mean 0 and deviation 1."""
    return (images.unsqueeze(1) / 255 - 0.1307) / 0.3081


def take_part(party: str) -> None:
    """Play one party of the federation, from waiting for the others to the final model."""
    torch.set_num_threads(1)  # three parties share this machine
    scheduler = DemoAvg(max_rounds=3, log_rounds=1, calculation_timeout=120)
    with mock_context(id=party, nodes=NODES, task_id=TASK):
        result = scheduler.run()
    for round, accuracy in result.series("test/accuracy").items():  # at the aggregator
        print(f"round {round}: {accuracy:.1%} of the test digits right")
    print(f"{party} has the model of {result.rounds} rounds in {result.model_file}")
