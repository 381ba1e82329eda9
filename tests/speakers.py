"""Parties of one run that say what a test wants, on a real server, without notebooks and training."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import Header, checksum, encode_control, encode_header
from playground_ext.bus.keys import RunKeys
from playground_ext.logs.record import Batch, LogRecord, encode_batch
from playground_ext.party.identity import Party
from playground_ext.party.lease import Lease, machine
from playground_ext.party.lobby import Lobby
from playground_ext.runner.progress import MetricPoint


class Speakers:
    """They speak the wire format, through the package's own classes."""

    def __init__(self, url: str, task: str, nodes: list[str], home: Path) -> None:
        self.connection = Connection(url, name="test-speakers")
        self.task, self.nodes, self.home = task, nodes, home
        self.leases: list[Lease] = []
        self.seqs = dict.fromkeys(nodes, 0)
        self.lines = dict.fromkeys(nodes, 0)
        self.sent: dict[tuple[str, str], int] = {}
        self.keys: RunKeys

    def open(self, status: str = "running", **meta: object) -> RunKeys:
        """All of them join a new run."""
        self.leave()
        self.seqs = dict.fromkeys(self.nodes, 0)
        hellos = {node: self.hello(node) for node in self.nodes}
        lobby = Lobby(self.connection, Party(self.nodes[0], self.task, tuple(self.nodes)))
        self.keys = lobby.open_run(
            {"algorithm": "FedAvgScheduler", "arguments": {"max_rounds": 3}, **meta}, hellos[self.nodes[0]]
        )
        lobby.join(self.keys, hellos[self.nodes[0]])
        for node, hello in hellos.items():
            self.connection.client.hset(self.keys.meta, f"party:{node}", msgspec.json.encode(hello))
            self.control(node, "hello", **hello)
        lobby.set_status(self.keys, status)
        return self.keys

    def hello(self, node: str) -> dict[str, Any]:
        folder = self.home / self.task / node
        folder.mkdir(parents=True, exist_ok=True)
        lease = Lease(folder / "lease", party=node, task=self.task)
        lease.acquire()
        self.leases.append(lease)
        role = "aggregator" if node == self.nodes[0] else "collaborator"
        return {"pid": os.getpid(), "host": machine(), "lease": str(lease.path), "role": role, "notebook": None}

    def control(self, node: str, kind: str, **body: object) -> None:
        self.seqs[node] += 1
        fields: Any = encode_control(kind, body)
        self.connection.client.xadd(self.keys.control(node), fields, id=f"1-{self.seqs[node]}")

    def log(self, node: str, *texts: str, level: str = "INFO", round: int = 1) -> None:
        first = self.lines[node] + 1
        records = [
            LogRecord(time.time(), node, level, round, number, "log", text)
            for number, text in enumerate(texts, start=first)
        ]
        self.lines[node] += len(texts)
        batch = Batch(node, 1, first, self.lines[node], 0, encode_batch(records))
        fields: Any = batch.fields()
        self.connection.client.xadd(self.keys.log, fields)

    def metric(self, node: str, name: str, value: float, round: int) -> None:
        points = [MetricPoint(node, round, name, value, time.time())]
        fields: Any = {"m": msgspec.json.encode(points)}
        self.connection.client.xadd(self.keys.metrics, fields)

    def send(self, sender: str, receiver: str, kind: str, round: int, payload: bytes) -> None:
        self.sent[sender, receiver] = number = self.sent.get((sender, receiver), 0) + 1
        header = Header(kind, round, 0, "", {}, len(payload), checksum([payload]), at=time.time())
        fields: Any = {"h": encode_header(header), "p": payload}
        self.connection.client.xadd(self.keys.data(receiver, sender), fields, id=f"1-{number}")

    def leave(self) -> None:
        for lease in self.leases:
            lease.release()
        self.leases.clear()
