from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from playground_ext.errors import ConfigError
from playground_ext.scheduler.metrics import MetricPoint, Metrics, TensorBoardWriter


def test_a_number_goes_to_the_file_the_stream_and_tensorboard(tmp_path: Path) -> None:
    published: list[bytes] = []
    metrics = Metrics("alice", tmp_path, published.append)

    metrics.add(1, {"test/accuracy": np.float32(0.5), "test/loss": torch.tensor(2.0)})
    metrics.add(2, {"test/accuracy": 0.75})
    metrics.close()

    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [(row["party"], row["round"], row["name"], float(row["value"])) for row in rows] == [
        ("alice", "1", "test/accuracy", 0.5),
        ("alice", "1", "test/loss", 2.0),
        ("alice", "2", "test/accuracy", 0.75),
    ]
    points = [point for batch in published for point in msgspec.json.decode(batch, type=list[MetricPoint])]
    assert points == metrics.points
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("test/accuracy")] == [(1, 0.5), (2, 0.75)]


def test_user_code_may_write_scalars_as_to_tensorboard(tmp_path: Path) -> None:
    metrics = Metrics("alice", tmp_path, lambda points: None)
    writer = TensorBoardWriter(metrics, lambda: 7)

    writer.add_scalar("timer/run_time", 1.5)
    writer.add_scalar("timer/run_time", 2.5, 9)
    writer.add_text("note", "everything else is SummaryWriter's")
    metrics.close()

    assert [(point.round, point.value) for point in metrics.points] == [(7, 1.5), (9, 2.5)]


def test_what_is_not_a_number_is_named(tmp_path: Path) -> None:
    metrics = Metrics("alice", tmp_path, lambda points: None)

    for value in ("high", None, torch.zeros(2)):
        with pytest.raises(ConfigError, match=r"the metric 'accuracy' is .*, which is not a number"):
            metrics.add(1, {"accuracy": value})
    assert metrics.points == []
