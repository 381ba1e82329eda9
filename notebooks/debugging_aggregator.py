"""The colleague in debugging.ipynb: an aggregator of its own. `python debugging_aggregator.py TASK 320`"""

import sys

import torch.nn.functional as F
from torch import nn

from playground_ext import PlaygroundError, mock_context
from playground_ext.fed_avg import FedAvgScheduler

TASK, IN_FEATURES = sys.argv[1], int(sys.argv[2])


class ConvNet(nn.Module):
    """The network as it was copied from the notebook; an aggregator only averages it, so it never runs here."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels=1, out_channels=10, kernel_size=5)
        self.conv2 = nn.Conv2d(in_channels=10, out_channels=20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(in_features=IN_FEATURES, out_features=50)
        self.fc2 = nn.Linear(in_features=50, out_features=10)

    def forward(self, x):  # (batch, 1, 28, 28)
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        x = F.relu(self.fc1(x.view(-1, 320)))
        return F.log_softmax(self.fc2(x), dim=-1)  # (batch, 10)


class DemoAvg(FedAvgScheduler):
    def build_model(self):
        return ConvNet()


try:
    with mock_context(id="aggregator", nodes=["aggregator", "me"], task_id=TASK):
        result = DemoAvg(max_rounds=2, calculation_timeout=60).run()
    print(f"aggregator: all went well, {result.rounds} rounds")
except PlaygroundError as error:
    print(f"aggregator: {type(error).__name__}: {error}")
