"""Where the processes that tests start find modules."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["CHECKOUT", "MODULES"]

CHECKOUT = Path(__file__).resolve().parents[1]
MODULES = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests" / "unneeded")])  # for PYTHONPATH
