"""Random states and reports as checkpoints hold them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from playground_ext.scheduler.progress_state import capture_rng, read_reports, restore_rng, write_reports
from playground_ext.scheduler.result import RoundReport


def draw() -> tuple[float, float, float, float]:
    return random.random(), float(np.random.rand()), float(np.random.randn()), float(torch.rand(()))


def test_all_generators_draw_again_what_they_drew_after_a_trip_to_the_disk(tmp_path: Path) -> None:
    np.random.randn()  # the second of a pair is remembered by NumPy
    torch.save(capture_rng(), tmp_path / "state.pt")
    drawn = [draw() for _ in range(3)]
    restore_rng(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [draw() for _ in range(3)] == drawn


def test_reports_come_back_as_they_were(tmp_path: Path) -> None:
    reports = [RoundReport(1, ("a", "b"), 1.5, 0.5, 10, 20, 0.25)]
    torch.save(write_reports(reports), tmp_path / "reports.pt")
    assert read_reports(torch.load(tmp_path / "reports.pt", weights_only=True)) == reports
