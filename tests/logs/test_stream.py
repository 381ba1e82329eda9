"""Writer, stream and reader against a real server that comes and goes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import RunKeys
from playground_ext.bus.server import EmbeddedServer
from playground_ext.logs import stream
from playground_ext.logs.merged import MergedLog
from playground_ext.logs.record import MAX_TEXT, Batch, Entry, LogRecord, encode_batch
from playground_ext.logs.stream import LogReader
from playground_ext.logs.writer import LogWriter

NODES = ("alice", "bob")


class Member:
    """One party's writer and reader, and what its people would see."""

    def __init__(self, party: str, folder: Path) -> None:
        self.party = party
        self.file = folder / party / "logs.jsonl"
        self.shown: list[LogRecord] = []
        self.merged = MergedLog(self)
        self.writer = LogWriter(party, self.file, self.merged)
        self.reader: LogReader | None = None
        self.writer.start()

    def accept(self, batch: Batch) -> None:
        self.shown.extend(batch.records())

    def status(self, text: str | None) -> None: ...

    def stop(self) -> None: ...

    def join(self, url: str, key: str) -> None:
        self.writer.publish(url, key)
        self.reader = LogReader(url, key, NODES, self.merged, name=self.party)

    def say(self, *texts: str) -> None:
        for text in texts:
            self.writer.put(entry(text))

    def drain(self) -> int:
        self.writer.flush(5.0)
        return self.writer.seq

    def leave(self) -> None:
        if self.reader is not None:
            self.reader.stopping()
            self.writer.mark(5.0)
            self.reader.join(5.0)
            self.reader = None
        self.writer.stop(5.0)

    def texts(self, party: str) -> list[str]:
        return [record.text for record in self.shown if record.party == party]

    def saved(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.file.read_bytes().splitlines()]


def entry(text: str, level: str = "INFO") -> Entry:
    return (time.time(), level, None, "log", text)


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Callable[[str], Member]]:
    members: list[Member] = []

    def make(party: str) -> Member:
        members.append(Member(party, tmp_path))
        return members[-1]

    yield make
    for one in members:
        one.leave()


def test_both_parties_see_all_lines_in_the_same_order(
    server: EmbeddedServer, keys: RunKeys, member: Callable[[str], Member]
) -> None:
    alice, bob = member("alice"), member("bob")
    alice.say("before anybody listened")
    for one in (alice, bob):
        one.join(server.url, keys.log)
    for index in range(300):
        alice.say(f"a{index}")
        bob.say(f"b{index}")
        if index % 50 == 0:
            alice.drain()
            bob.drain()
    last = {"alice": alice.drain(), "bob": bob.drain()}

    assert last == {"alice": 301, "bob": 300}
    assert alice.merged.wait_for(last, 5.0) == []
    assert bob.merged.wait_for(last, 5.0) == []
    assert bob.texts("alice") == ["before anybody listened", *(f"a{index}" for index in range(300))]
    published = [record for record in alice.shown if record.text != "before anybody listened"]
    assert published == [record for record in bob.shown if record.text != "before anybody listened"]


def test_a_party_that_joins_late_sees_the_run_from_its_start(
    server: EmbeddedServer, keys: RunKeys, member: Callable[[str], Member]
) -> None:
    alice = member("alice")
    alice.join(server.url, keys.log)
    alice.say("first")
    last = alice.drain()
    bob = member("bob")
    bob.join(server.url, keys.log)

    assert bob.merged.wait_for({"alice": last}, 5.0) == []
    assert bob.texts("alice") == ["first"]


def test_the_file_has_every_line_and_only_its_owner_may_read_it(
    server: EmbeddedServer, keys: RunKeys, member: Callable[[str], Member]
) -> None:
    alice = member("alice")
    alice.join(server.url, keys.log)
    for index in range(30_000):
        alice.writer.put(entry(f"line {index}"))
    alice.say("y" * (MAX_TEXT + 5))
    last = alice.drain()
    alice.leave()
    saved = alice.saved()

    assert last == 30_001
    assert [line["seq"] for line in saved] == list(range(1, 30_002))
    assert [line["text"] for line in saved[:-1]] == [f"line {index}" for index in range(30_000)]
    assert len(saved[-1]["text"]) == MAX_TEXT + 5
    assert alice.shown[-1].text.endswith("y … (5 more characters in the party's file)")
    assert saved[0].keys() == {"time", "party", "level", "round", "seq", "source", "text"}
    assert alice.file.stat().st_mode & 0o777 == 0o600


def test_waiting_names_the_parties_whose_lines_are_missing(
    server: EmbeddedServer, keys: RunKeys, member: Callable[[str], Member]
) -> None:
    alice = member("alice")
    alice.join(server.url, keys.log)
    alice.say("here")

    assert alice.merged.wait_for({"alice": alice.drain(), "bob": 1}, 0.3) == ["bob"]


def test_an_error_is_published_before_the_call_returns(
    server: EmbeddedServer, keys: RunKeys, member: Callable[[str], Member]
) -> None:
    alice, bob = member("alice"), member("bob")
    for one in (alice, bob):
        one.join(server.url, keys.log)
    alice.say("earlier")
    first = alice.writer.error(entry("alice failed", "ERROR"), 5.0)
    second = bob.writer.error(entry("so bob failed", "ERROR"), 5.0)

    assert first is not None
    assert second is not None
    with Connection(server.url) as connection:
        entries = dict(connection.client.xrange(keys.log))
    batches = [Batch.of(entries[one.encode()]) for one in (first, second)]
    assert [batch.records()[0].text for batch in batches if batch] == ["alice failed", "so bob failed"]
    assert list(entries).index(first.encode()) < list(entries).index(second.encode())


def test_an_error_that_cannot_be_published_has_no_id(tmp_path: Path, member: Callable[[str], Member]) -> None:
    alice, bob = member("alice"), member("bob")
    bob.join(f"unix://{tmp_path}/nobody", "pg:{t}:r:log")

    assert alice.writer.error(entry("failed", "ERROR"), 5.0) is None
    assert bob.writer.error(entry("failed", "ERROR"), 5.0) is None
    assert [line["text"] for line in alice.saved()] == ["failed"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A socket needs a short path, and a restarted server the same one."""
    path = Path(tempfile.mkdtemp(prefix="pg-"))
    yield path / "server"
    shutil.rmtree(path, ignore_errors=True)


def test_lines_survive_a_server_that_restarts_without_its_data(
    folder: Path, keys: RunKeys, member: Callable[[str], Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("playground_ext.logs.writer.PATIENCE", 0.2)
    alice, bob = member("alice"), member("bob")
    with EmbeddedServer(folder) as server:
        url = server.url
        for one in (alice, bob):
            one.join(url, keys.log)
        alice.say("before")
        assert bob.merged.wait_for({"alice": alice.drain()}, 5.0) == []
    deadline = time.monotonic() + 5.0
    while not any(record.level == "WARNING" for record in alice.shown) and time.monotonic() < deadline:
        alice.say("while it was away")
        alice.drain()
        time.sleep(0.05)
    warned = [record.text for record in alice.shown if record.level == "WARNING"]
    assert len(warned) == 1
    assert "does not take log lines" in warned[0]
    assert "while it was away" in alice.texts("alice")

    with EmbeddedServer(folder) as server:
        assert server.url == url
        with Connection(url) as connection:  # another party writes first: the key is there again
            connection.client.xadd(keys.log, {"p": "bob", "s": 1, "l": 0})
        alice.say("after")
        deadline = time.monotonic() + 5.0
        news = {"after", "the server takes log lines again"}  # in either order
        while not news <= {line["text"] for line in alice.saved()} and time.monotonic() < deadline:
            time.sleep(0.05)
        late = member("bob")  # a second view of the same stream: the lost part was shipped again
        late.join(url, keys.log)
        for one in (alice, bob, late):
            assert one.merged.wait_for({"alice": alice.writer.seq}, 5.0) == []
        said = [line["text"] for line in alice.saved()]
        assert set(said[-2:]) == news
        assert bob.texts("alice") == alice.texts("alice") == late.texts("alice") == said
        for one in (alice, bob, late):
            one.leave()


def test_without_a_server_the_file_gets_everything_and_one_warning_says_so(
    tmp_path: Path, member: Callable[[str], Member]
) -> None:
    alice = member("alice")
    alice.join(f"unix://{tmp_path}/nobody", "pg:{t}:r:log")
    alice.say("one", "two")
    start = time.monotonic()
    alice.leave()

    assert time.monotonic() - start < 3.0
    texts = [line["text"] for line in alice.saved()]
    assert texts[:2] == ["one", "two"]
    assert len(texts) == 3
    assert "no server answers" in texts[2]
    assert alice.texts("alice") == texts


def test_a_full_server_is_an_absent_one(keys: RunKeys, member: Callable[[str], Member]) -> None:
    with EmbeddedServer(max_memory=4 << 20) as server:
        with Connection(server.url) as connection:
            connection.client.config_set("maxmemory", 1)
        alice = member("alice")
        alice.join(server.url, keys.log)
        alice.say("kept")
        alice.drain()
        alice.leave()

    kept, warning = alice.saved()
    assert kept["text"] == "kept"
    assert "full" in warning["text"]
    assert alice.texts("alice")[0] == "kept"


def test_a_full_disk_is_said_once_and_the_lines_still_reach_the_others(
    server: EmbeddedServer, keys: RunKeys, member: Callable[[str], Member], tmp_path: Path
) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    alice = Member("alice", tmp_path)
    alice.writer._file.path = Path("/dev/full")
    alice.join(server.url, keys.log)
    alice.say("one")
    alice.drain()
    alice.say("two")
    last = alice.drain()

    assert alice.merged.wait_for({"alice": last}, 5.0) == []
    alice.leave()
    texts = alice.texts("alice")
    assert [texts[0], texts[2]] == ["one", "two"]
    assert "No space left" in texts[1]
    assert len(texts) == 3


def test_nonsense_and_strangers_in_the_stream_are_not_shown(
    server: EmbeddedServer, keys: RunKeys, member: Callable[[str], Member]
) -> None:
    alice = member("alice")
    with Connection(server.url) as connection:
        client = connection.client
        client.xadd(keys.log, {"x": "y"})
        client.xadd(keys.log, {"r": b"nonsense"})
        client.xadd(keys.log, {"r": b"nonsense", "p": "bob", "s": 1, "f": 1, "l": 3, "e": 0})
        client.xadd(keys.log, {"r": b"", "p": "bob", "s": 1, "f": 1, "l": 1 << 60, "e": 0})
        line = LogRecord(0.0, "mallory", "INFO", None, 1, "log", "I am not of this task")
        client.xadd(keys.log, {"r": encode_batch([line]), "p": "mallory", "s": 1, "f": 1, "l": 1, "e": 0})
        forged = LogRecord(0.0, "alice", "INFO", None, 1, "log", "I am not alice")
        client.xadd(keys.log, {"r": encode_batch([forged]), "p": "bob", "s": 2, "f": 1, "l": 1, "e": 0})
    alice.join(server.url, keys.log)
    alice.say("real")

    assert alice.merged.wait_for({"alice": alice.drain()}, 5.0) == []
    assert [record.text for record in alice.shown] == ["real"]


def test_a_party_that_starts_again_counts_from_one_and_is_seen(
    server: EmbeddedServer, keys: RunKeys, member: Callable[[str], Member]
) -> None:
    bob = member("bob")
    bob.join(server.url, keys.log)
    first = member("alice")
    first.join(server.url, keys.log)
    first.say("one", "two", "three")
    assert bob.merged.wait_for({"alice": first.drain()}, 5.0) == []
    first.leave()
    second = member("alice")
    second.join(server.url, keys.log)
    second.say("again")

    assert second.drain() == 1
    second.writer.mark(5.0)
    assert bob.merged.wait_reached(second.writer.mark(5.0) or "", 5.0)
    assert bob.texts("alice") == ["one", "two", "three", "again"]
    assert [line["text"] for line in second.saved()] == ["one", "two", "three", "again"]


def test_the_stream_is_capped_in_bytes(
    server: EmbeddedServer, keys: RunKeys, member: Callable[[str], Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STREAM_BYTES", 8 << 20)
    alice = member("alice")
    alice.join(server.url, keys.log)
    for _ in range(400):
        alice.say(*["x" * 1000] * 60)
        alice.drain()

    with Connection(server.url) as connection:
        assert connection.client.memory_usage(keys.log, samples=0) < 12 << 20  # of 24 MB


def test_a_fork_waits_for_a_line_that_is_being_printed(
    server: EmbeddedServer, keys: RunKeys, environment: dict[str, str], tmp_path: Path
) -> None:
    """The stream's own lock would stay with a thread that the child does not have."""
    script = """
import io, os, sys, threading, time
from pathlib import Path
from playground_ext.bus.keys import RunKeys
from playground_ext.logs import LogSession, logger
url, folder = sys.argv[1:]

class Slow(io.RawIOBase):
    def __init__(self):
        self.writing = threading.Event()
    def writable(self):
        return True
    def write(self, data):
        self.writing.set()
        time.sleep(0.5)
        return len(data)

slow = Slow()
sys.stderr = io.TextIOWrapper(io.BufferedWriter(slow))
session = LogSession("alice", Path(folder) / "logs.jsonl")
session.start()
session.publish(url, RunKeys("logtest", "r1"), ["alice", "bob"])
logger.info("parent before")
assert slow.writing.wait(20)
child = os.fork()
if child == 0:
    print("child", file=sys.stderr, flush=True)
    os._exit(0)
deadline = time.monotonic() + 10
while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
    time.sleep(0.05)
if ended == (0, 0):
    os.kill(child, 9)
print("ended" if ended == (child, 0) else "hung")
logger.info("parent after")
session.stop()
"""
    command = [sys.executable, "-W", "error", "-c", script, server.url, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_a_forked_child_publishes_nothing(
    server: EmbeddedServer, keys: RunKeys, environment: dict[str, str], tmp_path: Path
) -> None:
    script = """
import os, sys
from pathlib import Path
from playground_ext.bus.keys import RunKeys
from playground_ext.logs import LogSession, logger
url, folder = sys.argv[1:]
session = LogSession("alice", Path(folder) / "logs.jsonl")
session.start()
session.publish(url, RunKeys("logtest", "r1"), ["alice", "bob"])
logger.info("parent before")
session.drain()
child = os.fork()
if child == 0:
    logger.info("child says")
    logger.warning("child warns")
    print("child prints", flush=True)
    session.status("child")
    assert session.error("child fails") is None
    session.stop()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
logger.info("parent after")
session.drain()
session.stop()
"""
    command = [sys.executable, "-W", "error", "-c", script, server.url, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "child prints\n"
    assert "parent after" in done.stderr
    assert "child says" not in done.stderr
    saved = [msgspec.json.decode(line)["text"] for line in (tmp_path / "logs.jsonl").read_bytes().splitlines()]
    assert saved == ["parent before", "parent after"]
    with Connection(server.url) as connection:
        batches = [Batch.of(fields) for _, fields in connection.client.xrange(keys.log)]
    assert [record.text for batch in batches if batch for record in batch.records()] == saved
