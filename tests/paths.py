"""Where the processes that tests start find modules, and where the browser is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["CHECKOUT", "CHROMIUM", "MODULES"]

CHECKOUT = Path(__file__).resolve().parents[1]
MODULES = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests" / "unneeded")])  # for PYTHONPATH
_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")  # the first costs a tenth less
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _BROWSERS)), None)
