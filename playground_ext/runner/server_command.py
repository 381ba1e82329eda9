"""`playground server`: the server that the notebooks of this folder share."""

from __future__ import annotations

from typing import Any

import msgspec

from playground_ext import settings
from playground_ext.bus.connection import Connection, mask_password
from playground_ext.bus.supervisor import SharedServer, shared_server, shared_server_status, stop_shared_server
from playground_ext.runner.screen import size_text, time_text

__all__ = ["start_text", "status_text", "stop_text"]


def start_text(*, as_json: bool) -> str:
    """Start it where none runs, and say where it is.

    Raises:
        ServerError: it does not start, or the one that PLAYGROUND_REDIS_URL names does not answer.
    """
    if settings.read().redis_url is None:
        shared_server()
    return status_text(as_json=as_json)[1]


def status_text(*, as_json: bool) -> tuple[int, str]:
    """What the server does, and the exit code: 0 if one runs, 1 if none does.

    Raises:
        ServerError: PLAYGROUND_REDIS_URL is set, and nobody answers there.
    """
    given = settings.read().redis_url
    said = _shared(shared_server_status()) if given is None else _given(given)
    if as_json:
        return (0 if said["running"] else 1), msgspec.json.format(msgspec.json.encode(said), indent=2).decode()
    if not said["running"]:
        return 1, (
            f"No server runs for {said['workspace']}. None has to: the first notebook there starts one, and so does "
            "`playground server start`."
        )
    lines = [f"{said['url']}", f"  {said['clients']} clients, {size_text(said['memory'])} in use"]
    if given is None:
        lines[1] += f", running for {time_text(said['uptime'])} (process {said['pid']})"
        lines.append(f"  for the notebooks in {said['workspace']}; stops after 15 minutes without clients")
    else:
        lines[1] += f", version {said['version']}"
        lines.append("  named by PLAYGROUND_REDIS_URL, so notebooks use it instead of starting one")
    return 0, "\n".join(lines)


def stop_text() -> str:
    """Stop the shared server, whoever uses it; what came of it."""
    given = settings.read().redis_url
    stopped = stop_shared_server()
    text = "The server is stopped." if stopped else "No server was running."
    return text if given is None else f"{text} The one that PLAYGROUND_REDIS_URL names is not mine to stop."


def _shared(status: SharedServer | None) -> dict[str, Any]:
    if status is None:
        return {"running": False, "workspace": str(settings.read().workspace)}
    return {
        "running": True,
        "url": status.url,
        "pid": status.pid,
        "workspace": str(status.workspace),
        "clients": status.clients,
        "memory": status.memory,
        "uptime": round(status.uptime, 1),
    }


def _given(url: str) -> dict[str, Any]:
    with Connection(url, name="playground-server-status", timeout=5.0) as connection:
        info = connection.client.info()
    return {
        "running": True,
        "url": mask_password(url),
        "clients": int(info["connected_clients"]) - 1,
        "memory": int(info["used_memory"]),
        "version": str(info["redis_version"]),
    }
