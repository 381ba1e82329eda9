"""What all three notebooks share. Nothing in here knows whether it runs in a simulation or in production."""

import torch
import torch.nn.functional as F
from net import ConvNet
from torch import nn, optim
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from playground_ext import get_dataset_dir, logger
from playground_ext.data import split_iid
from playground_ext.fed_avg import FedAvgScheduler


class DemoAvg(FedAvgScheduler):
    """Federated averaging of a ConvNet on MNIST. Every collaborator trains on its own share of the digits."""

    batch_size = 64
    learning_rate = 0.02

    def build_model(self) -> nn.Module:
        return ConvNet()

    def build_optimizer(self, model: nn.Module) -> optim.Optimizer:
        return optim.SGD(model.parameters(), lr=self.learning_rate, momentum=0.9)

    def build_train_dataloader(self) -> DataLoader:
        digits = self._digits(train=True)
        shares = split_iid(len(digits), len(self.collaborators), seed=self.seed)
        mine = shares[self.collaborators.index(self.id)]
        return DataLoader(Subset(digits, mine), batch_size=self.batch_size, shuffle=True)

    def build_test_dataloader(self) -> DataLoader:
        return DataLoader(self._digits(train=False), batch_size=500)

    def train_an_epoch(self) -> dict[str, float]:
        self.model.train()
        total, seen = 0.0, 0
        for images, labels in self.train_loader:  # (batch, 1, 28, 28), (batch,)
            self.optimizer.zero_grad()
            loss = F.nll_loss(self.model(images), labels)
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(labels)
            seen += len(labels)
        logger.info("trained on %d digits of my own", seen)
        return {"loss": total / seen}

    @torch.no_grad()
    def run_test(self) -> dict[str, float]:
        self.model.eval()
        right, total = 0, 0.0
        for images, labels in self.test_loader:
            scores = self.model(images)  # (batch, 10)
            right += int((scores.argmax(dim=1) == labels).sum())
            total += F.nll_loss(scores, labels, reduction="sum").item()
        count = len(self.test_loader.dataset)
        return {"accuracy": right / count, "loss": total / count}

    def _digits(self, *, train: bool) -> datasets.MNIST:
        """torchvision finds the digits where the Playground keeps them, one copy for all parties; nothing is loaded."""
        steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
        return datasets.MNIST(get_dataset_dir(), train=train, download=True, transform=steps)
