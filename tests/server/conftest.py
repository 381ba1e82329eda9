"""A real Jupyter server below a base URL, pages on its websocket, and parties that speak on a real Redis server."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403
from speakers import Speakers
from tornado.httpclient import HTTPClientError

from playground_ext.bus.shared import stop_shared_server
from playground_ext.logs.record import LogRecord, encode_batch

ALL = ["parties", "logs", "metrics", "messages", "timeline", "traffic"]


@pytest.fixture
def jp_base_url() -> str:
    return "/user/alice/"


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {"ServerApp": {"jpserver_extensions": {"playground_ext": True}}}


@pytest.fixture(autouse=True)
def lab_environment(own_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    runtime = tempfile.mkdtemp(prefix="pgs", dir="/tmp")  # tmp_path is too long for sockets
    monkeypatch.setenv("PLAYGROUND_RUNTIME", runtime)
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "parties"))
    monkeypatch.setenv("PLAYGROUND_RUNS", str(tmp_path / "root_dir" / "runs"))
    monkeypatch.setenv("PLAYGROUND_WARM", "0")
    yield
    stop_shared_server()
    shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture
def runs(jp_root_dir: Path) -> Path:
    return jp_root_dir / "runs"


Api = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
def api(jp_fetch: Callable[..., Awaitable[Any]]) -> Api:
    """Ask a route: the status and what the JSON says."""

    async def ask(method: str, route: str, body: object = None, **params: str) -> tuple[int, Any]:
        more: dict[str, Any] = {}
        if method == "POST":
            more["body"] = body if isinstance(body, str) else json.dumps({} if body is None else body)
        try:
            response = await jp_fetch("playground", *route.split("/"), method=method, params=params, **more)
        except HTTPClientError as error:
            return error.code, json.loads(error.response.body or b"null")
        return response.code, json.loads(response.body or b"null")

    return ask


class Page:
    """One page: what it has got, by channel."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []
        self.items: dict[str, list[dict[str, Any]]] = {
            "logs": [],
            "metrics": [],
            "messages": [],
            "latencies": [],
        }
        self.run: str | None = None

    async def say(self, **wish: object) -> None:
        await self.socket.write_message(json.dumps(wish))

    async def watch(self, task: str, channels: list[str] | None = None, **more: object) -> None:
        await self.say(subscribe="task", task=task, channels=ALL if channels is None else channels, **more)

    async def next(self, timeout: float = 15) -> dict[str, Any]:
        message = await asyncio.wait_for(self.socket.read_message(), timeout)
        assert message is not None, f"the socket was closed: {self.socket.close_code} {self.socket.close_reason}"
        frame: dict[str, Any] = json.loads(message)
        self.frames.append(frame)
        if frame["channel"] in self.items:
            if frame["run"] != self.run:  # another run: the page starts anew
                self.run = frame["run"]
                for items in self.items.values():
                    items.clear()
            self.items[frame["channel"]] += frame["data"]
        return frame

    async def until(self, channel: str, fits: Callable[[Any], bool] = lambda data: True, timeout: float = 20) -> Any:
        """The data of the next frame of that channel that fits."""
        deadline = time.monotonic() + timeout
        while True:
            frame = await self.next(max(0.1, deadline - time.monotonic()))
            if frame["channel"] == channel and fits(frame.get("data", frame)):
                return frame.get("data", frame)

    async def lines(self, count: int, timeout: float = 20) -> list[str]:
        """The texts of its log lines when it has so many."""
        deadline = time.monotonic() + timeout
        while len(self.items["logs"]) < count:
            await self.next(max(0.1, deadline - time.monotonic()))
        return [item["text"] for item in self.items["logs"]]

    def seqs(self, channel: str = "logs") -> list[int]:
        return [item["seq"] for item in self.items[channel]]


@pytest.fixture
def page(jp_ws_fetch: Callable[..., Awaitable[Any]]) -> Callable[[], Any]:
    """`async with page() as one:` opens a page and closes it."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Page]:
        socket = await jp_ws_fetch("playground", "live")
        stream = socket.protocol.stream
        try:
            yield Page(socket)
        finally:
            socket.close()
            async with asyncio.timeout(10):
                while not stream.closed():  # the server answers first; a busy machine takes its time
                    await asyncio.sleep(0.01)

    return opened


@pytest.fixture
def speakers(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Speakers]]:
    monkeypatch.setenv("PLAYGROUND_REDIS_URL", server.url)
    made: list[Speakers] = []

    def make(task: str = "talk", nodes: list[str] | None = None) -> Speakers:
        made.append(Speakers(server.url, task, nodes or ["aggregator", "collaborator-1"], tmp_path / "parties"))
        return made[-1]

    yield make
    for one in made:
        one.leave()
        one.connection.close()


@pytest.fixture
def past_run(runs: Path) -> Callable[..., Path]:
    """Write what `playground run` leaves of a run that is over."""

    def write(task: str = "past", status: str = "ok", error: dict[str, Any] | None = None) -> Path:
        folder = runs / task
        folder.mkdir(parents=True)
        parties = [
            {"party": "aggregator", "role": "aggregator", "notebook": "aggregator.ipynb", "status": "ok", "round": 2},
            {
                "party": "collaborator-1",
                "role": "collaborator",
                "notebook": "collaborator-1.ipynb",
                "status": "ok",
                "round": 2,
            },
        ]
        if error is not None:
            parties[1] |= {"status": "failed", "error": error}
        summary = {
            "format": 1,
            "task": task,
            "run": "abc",
            "template": "fed_avg",
            "title": "FedAvg",
            "status": status,
            "began": "2026-11-20T10:00:00.000+00:00",
            "seconds": 3.0,
            "parameters": {"max_rounds": 2},
            "parties": parties,
            "first_failure": "collaborator-1" if error else None,
        }
        (folder / "summary.json").write_text(json.dumps(summary))
        for party in ("aggregator", "collaborator-1"):
            results = folder / "parties" / task / party / "abc" / "results"
            results.mkdir(parents=True)
            lines = [
                LogRecord(
                    1000.0 + number + (party != "aggregator") / 2, party, "INFO", 1, number, "log", f"{party} {number}"
                )
                for number in range(1, 6)
            ]
            (folder / "parties" / task / party / "logs.jsonl").write_bytes(encode_batch(lines))
            report = {
                "role": party.split("-")[0],
                "nodes": ["aggregator", "collaborator-1"],
                "rounds": 2,
                "sent": {"others": 117},
                "received": {"others": 44},
                "round_reports": [
                    {
                        "round": 1,
                        "participants": [],
                        "seconds": 2.0,
                        "waited": 0.5,
                        "sent": 100,
                        "received": 40,
                        "transferred": 0.25,
                    },
                    {"round": 2, "participants": [], "seconds": 1.0, "waited": 0.25, "sent": 10, "received": 4},
                ],
            }
            (results / "report.json").write_text(json.dumps(report))
        (folder / "metrics.csv").write_text(
            "time,party,round,name,value\n2026-11-20T10:00:01.000+00:00,aggregator,1,test/loss,0.5\n"
            "2026-11-20T10:00:02.000+00:00,aggregator,2,test/loss,nan\n"
        )
        return folder

    return write
