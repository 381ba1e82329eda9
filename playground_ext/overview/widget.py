"""The view that filters in the browser, where anywidget is installed: it takes the place of the static one.

It has no output of its own, because the widget that a saved notebook names is gone with its kernel.
"""

from __future__ import annotations

import secrets
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import traitlets

from playground_ext.overview.snapshot import Snapshot

__all__ = ["make_widget", "update_widget"]


def make_widget(snapshot: Snapshot) -> Any | None:
    """A widget that shows `snapshot` in every element of the class `made.place`; None without anywidget."""
    try:
        made = _widget_class()(place=f"playground-task-{secrets.token_hex(8)}")
    except ImportError:
        return None
    update_widget(made, snapshot)
    return made


def update_widget(widget: Any, snapshot: Snapshot) -> None:
    """Show a newer snapshot."""
    widget.metrics = snapshot.names
    widget.snapshot = snapshot.as_json()


@cache
def _widget_class() -> Any:
    base: Any = import_module("anywidget").AnyWidget

    class TaskWidget(base):  # type: ignore[misc]
        _esm = Path(__file__).with_name("widget.js").read_text("utf-8")
        place: Any = traitlets.Unicode().tag(sync=True)
        metrics: Any = traitlets.List().tag(sync=True)
        snapshot: Any = traitlets.Dict().tag(sync=True)

    return TaskWidget
