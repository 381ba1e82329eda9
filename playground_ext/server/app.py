"""What Jupyter loads: routes and websocket of the Playground."""

from __future__ import annotations

import os
from typing import Any

from jupyter_server.extension.application import ExtensionApp

from playground_ext.errors import ConfigError
from playground_ext.server.hub import Hub
from playground_ext.server.paths import Root
from playground_ext.server.records import learn_records
from playground_ext.server.routes import handlers

__all__ = ["PlaygroundApp", "share"]


class PlaygroundApp(ExtensionApp):
    """The server extension. It starts nothing: threads come with the first page, a server with the first notebook."""

    name = "playground_ext"

    def initialize_settings(self) -> None:
        if self.serverapp is None:
            raise ConfigError("the Playground's extension runs within a Jupyter server", next_step="playground lab")
        learn_records()
        root = Root(self.serverapp.root_dir)
        share(root)
        self.settings["playground_hub"] = Hub(root)

    def initialize_handlers(self) -> None:
        self.handlers: list[Any]
        self.handlers.extend(handlers())

    async def stop_extension(self) -> None:
        await self.settings["playground_hub"].close()


def share(root: Root) -> None:
    """Let kernels and terminals of this Jupyter meet in one workspace, and run folders lie where Jupyter shows them.

    Each kernel starts in its notebook's folder; without this, notebooks of different folders would look for different
    servers, and Lab for a third. What the user has set stays.
    """
    checkout = next((parent for parent in (root.folder, *root.folder.parents) if (parent / ".git").exists()), None)
    defaults = {"PLAYGROUND_WORKSPACE": str(checkout or root.folder), "PLAYGROUND_RUNS": str(root.folder / "runs")}
    os.environ.update({**defaults, **os.environ})
