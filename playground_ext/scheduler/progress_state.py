"""What every checkpoint holds besides models: random states, numbers of metrics, reports and bytes so far."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from playground_ext.scheduler.result import RoundReport

__all__ = ["capture_rng", "read_reports", "restore_rng", "write_reports"]


def capture_rng() -> dict[str, Any]:
    """The states of Python's, NumPy's and torch's generators, as plain values and tensors."""
    import numpy as np
    import torch

    generator: Any = np.random.get_state(legacy=False)
    key, position = generator["state"]["key"], int(generator["state"]["pos"])
    return {
        "python": random.getstate(),
        "numpy": (torch.from_numpy(key.astype(np.int64)), position, generator["has_gauss"], float(generator["gauss"])),
        "torch": torch.get_rng_state(),
    }


def restore_rng(state: Mapping[str, Any]) -> None:
    """Set them as `capture_rng` found them."""
    import numpy as np
    import torch

    random.setstate(state["python"])
    key, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", key.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])


def write_reports(reports: list[RoundReport]) -> list[dict[str, Any]]:
    return [{**asdict(report), "participants": list(report.participants)} for report in reports]


def read_reports(records: list[dict[str, Any]]) -> list[RoundReport]:
    return [RoundReport(**{**record, "participants": tuple(record["participants"])}) for record in records]
