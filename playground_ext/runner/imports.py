"""Imports that would take long for nothing."""

from __future__ import annotations

import importlib
import sys
from typing import Any

__all__ = ["import_quickly"]


def import_quickly(name: str) -> Any:
    """A module that reads notebooks: jsonschema, which checks them, is imported without its checkers of international
    addresses. They are built during the import, for 2 s, and notebooks have no such addresses.
    """
    modules: dict[str, Any] = sys.modules
    modules.setdefault("rfc3987_syntax", None)  # whoever imports it now does without
    try:
        return importlib.import_module(name)
    finally:
        if modules.get("rfc3987_syntax", 0) is None:
            modules.pop("rfc3987_syntax", None)
