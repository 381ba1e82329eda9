"""`%party` in a kernel, beside parties that are simulated by their words on the server."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import encode_control
from playground_ext.bus.server import EmbeddedServer
from playground_ext.logs.record import Batch, LogRecord, encode_batch
from playground_ext.party.identity import Party
from playground_ext.party.lease import Lease, machine
from playground_ext.party.lobby import Lobby

NODES = ("aggregator", "collaborator-1", "collaborator-2")
WHO = (
    f"from playground_ext import mock_context\nme = mock_context(id='collaborator-1', nodes={list(NODES)}, task_id='t')"
)


class Other:
    """Another party: what it says, without training anything."""

    def __init__(self, connection, name, folder: Path):
        self.connection, self.name = connection, name
        self.lobby = Lobby(connection, Party(name, "t", NODES))
        self.lease = Lease(folder / f"{name}.lease", party=name, task="t")
        self.lease.acquire()
        self.hello = {"pid": os.getpid(), "host": machine(), "lease": str(self.lease.path), "role": name}
        self.seq = 0

    def say(self, keys, kind, **body):
        self.seq += 1
        self.connection.client.xadd(keys.control(self.name), encode_control(kind, body), id=f"1-{self.seq}")


@pytest.fixture
def server():
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def others(server, tmp_path):
    connection = Connection(server.url)
    made = [Other(connection, name, tmp_path) for name in ("aggregator", "collaborator-2")]
    yield made
    for other in made:
        other.lease.release()
    connection.close()


def test_it_says_who_i_am_and_what_the_others_do(start, server, others):
    aggregator, collaborator = others
    keys = aggregator.lobby.open_run({}, aggregator.hello)
    aggregator.say(keys, "hello", **aggregator.hello)
    aggregator.say(keys, "progress", state="averaging", round=2)
    collaborator.say(keys, "hello", **collaborator.hello)
    collaborator.say(keys, "end", status="completed")
    record = LogRecord(1.7e9, "aggregator", "WARNING", 2, 1, "log", "loss is high")
    batch = Batch("aggregator", 1, 1, 1, 0, encode_batch([record]))
    aggregator.connection.client.xadd(keys.log, batch.fields())
    kernel = start(env={"PLAYGROUND_REDIS_URL": server.url})
    kernel.run(WHO)

    said = kernel.run("%party")

    assert "I am collaborator-1, in task t" in said
    assert f"Run {keys.run} is open." in said
    (line,) = [line for line in said.splitlines() if line.startswith("aggregator")]
    assert "averaging in round 2" in line
    assert "ago, a log line" in line
    assert "has left (completed)" in said
    logs = kernel.run("%party logs 5")
    assert "aggregator round 2 WARNING | loss is high" in logs


def test_a_heartbeat_is_a_sign_of_life_now_and_a_freed_lease_is_death(start, server, others):
    aggregator, collaborator = others
    keys = aggregator.lobby.open_run({}, aggregator.hello)
    for other in others:
        other.say(keys, "hello", **other.hello)
        other.say(keys, "progress", state="training", round=1)
    collaborator.lease.release()
    stop = threading.Event()

    def beat():
        with Connection(server.url) as connection:
            speaker = Other.__new__(Other)
            speaker.connection, speaker.name, speaker.seq = connection, "aggregator", 10
            while not stop.wait(0.2):
                speaker.say(keys, "progress", state="averaging", round=1)

    kernel = start(env={"PLAYGROUND_REDIS_URL": server.url})
    kernel.run(WHO)
    thread = threading.Thread(target=beat)
    thread.start()
    try:
        said = kernel.run("%party")
    finally:
        stop.set()
        thread.join()

    (line,) = [line for line in said.splitlines() if line.startswith("aggregator")]
    assert line.endswith("now")
    assert "gone without a word, while it was training" in said


def test_wait_ends_when_all_are_here_or_names_who_is_not(start, server, others):
    aggregator, collaborator = others
    kernel = start(env={"PLAYGROUND_REDIS_URL": server.url})
    kernel.run(WHO)

    assert "aggregator, collaborator-2 did not come within 0.3 s" in kernel.run("%party wait 0.3")

    request = kernel.client.execute("%party wait 20")
    kernel.wait_for(request, "waiting for aggregator, collaborator-2")
    collaborator.lobby._announce(collaborator.hello)
    kernel.wait_for(request, "waiting for aggregator\n")
    keys = aggregator.lobby.open_run({}, aggregator.hello)
    aggregator.say(keys, "hello", **aggregator.hello)
    aggregator.lobby._announce(aggregator.hello)
    assert "all others are here: aggregator, collaborator-2" in kernel.result(request)


def test_without_a_server_nobody_is_here_and_none_is_started(start, tmp_path):
    kernel = start(env={"PLAYGROUND_WORKSPACE": str(tmp_path), "PLAYGROUND_PARTY": "alice", "PLAYGROUND_TASK": "t"})

    said = kernel.run("%party")

    assert "I am alice, in task t" in said
    assert "No server runs yet" in said


def test_what_it_does_not_know_is_answered_with_what_it_does(start):
    kernel = start()

    assert "%party wait [S]" in kernel.run("%party nonsense")
    assert "no number" in kernel.run("%party logs many")
    assert "has not said yet which task" in kernel.run("%party logs")
