"""The network of the walk-through: two convolutions, two linear layers, 21,840 numbers."""

import torch
import torch.nn.functional as F
from torch import nn


class ConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels=1, out_channels=10, kernel_size=5)
        self.conv2 = nn.Conv2d(in_channels=10, out_channels=20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(in_features=320, out_features=50)
        self.fc2 = nn.Linear(in_features=50, out_features=10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (batch, 1, 28, 28)
        x = F.relu(F.max_pool2d(self.conv1(x), 2))  # (batch, 10, 12, 12)
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))  # (batch, 20, 4, 4)
        x = x.view(-1, 320)
        x = F.relu(self.fc1(x))  # (batch, 50)
        x = F.dropout(x, training=self.training)
        return F.log_softmax(self.fc2(x), dim=-1)  # (batch, 10)
