from __future__ import annotations

import threading
import time

import msgspec
import pytest

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import Control, encode_control
from playground_ext.bus.keys import TaskKeys
from playground_ext.bus.server import EmbeddedServer
from playground_ext.logs.record import Batch, LogRecord, encode_batch
from playground_ext.runner import progress
from playground_ext.runner.progress import Board, Follower, MetricPoint
from playground_ext.runner.view import LINES_AT_ONCE, Output, TerminalView, format_record

TASK = TaskKeys("t")


@pytest.fixture(scope="module")
def server():
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def client(server):
    with Connection(server.url) as connection:
        connection.client.flushall()
        yield connection.client


def open_run(client, run):
    client.set(TASK.run, run)
    client.xadd(TASK.runs, {"run": run})
    return TASK.of(run)


def line(text, round=None, level="INFO"):
    return LogRecord(time=time.time(), party="a", level=level, round=round, seq=1, source="log", text=text)


def log(client, keys, text):
    batch = Batch(party="a", session=1, first=1, last=1, errors=0, data=encode_batch([line(text)]))
    client.xadd(keys.log, batch.fields())


def follow(server):
    board = Board([("a", "aggregator"), ("b", "collaborator")], rounds=5)
    texts: list[str] = []
    seen = threading.Event()

    def on_log(records):
        texts.extend(record.text for record in records)
        seen.set()

    follower = Follower(server.url, "t", ["a", "b"], board, on_log)
    follower.start()
    assert follower.ready.wait(5)
    return board, texts, seen, follower


def test_notebooks_that_play_another_task_first_are_followed_to_their_own(server, client, tmp_path):
    """Templates that compare two trainings: the numbers of the run are those of the task that the runner named."""
    other = TaskKeys("t-plain").of("r0")
    (tmp_path / "t-plain" / "a" / "r0").mkdir(parents=True)
    client.set(TaskKeys("t-plain").run, "r0")
    client.hset(other.meta, "run", msgspec.json.encode({"nodes": ["a", "b"]}))
    client.xadd(TaskKeys("t-plain").runs, {"run": "r0"})
    board = Board([("a", "aggregator"), ("b", "collaborator")], rounds=5)
    texts: list[str] = []
    heard = {"other": threading.Event(), "own": threading.Event()}

    def on_log(records):
        texts.extend(record.text for record in records)
        for record in records:
            heard[record.text].set()

    follower = Follower(server.url, "t", ["a", "b"], board, on_log, home=tmp_path)
    follower.start()
    assert follower.ready.wait(5)

    def accuracy(keys, value):
        point = MetricPoint(party="a", round=1, name="test/accuracy", value=value, time=1.0)
        client.xadd(keys.metrics, {"m": msgspec.json.encode([point])})
        return point

    accuracy(other, 0.9)
    log(client, other, "other")
    assert heard["other"].wait(5)
    own = open_run(client, "r1")
    point = accuracy(own, 0.7)
    log(client, own, "own")
    assert heard["own"].wait(5)
    follower.stop()

    assert texts == ["other", "own"]
    assert (board.run, board.points) == ("r1", [point])


def test_a_run_is_followed_from_its_beginning_and_read_to_its_end(server, client):
    board, texts, seen, follower = follow(server)
    keys = open_run(client, "r1")
    log(client, keys, "first")
    assert seen.wait(3)
    client.xadd(keys.control("b"), encode_control("progress", {"state": "training", "round": 2}), id="1-1")
    point = MetricPoint(party="a", round=2, name="test/accuracy", value=0.75, time=1.0)
    client.xadd(keys.metrics, {"m": msgspec.json.encode([point])})
    log(client, keys, "last")
    follower.stop()

    first, second = board.rows()
    assert texts == ["first", "last"]
    assert (second.state, second.round, second.rounds) == ("training", 2, 5)
    assert first.accuracy == 0.75
    assert board.points == [point]
    assert not follower.is_alive()


def test_a_run_that_was_over_before_it_was_seen_is_read_too(server, client):
    board, texts, seen, follower = follow(server)
    with client.pipeline(transaction=True) as at_once:
        first, second = open_run(at_once, "r1"), open_run(at_once, "r2")
        log(at_once, first, "of the first")
        log(at_once, second, "of the second")
        at_once.execute()
    assert seen.wait(3)
    log(client, first, "late")
    follower.stop()

    assert texts == ["of the first", "of the second", "late"]
    assert board.run == "r2"


def test_its_end_does_not_wait_for_something_new(server, client, monkeypatch):
    monkeypatch.setattr(progress, "BLOCK", 12_000)  # longer than `stop` waits, shorter than a server's silence
    _, texts, seen, follower = follow(server)
    keys = open_run(client, "r1")
    log(client, keys, "only")
    assert seen.wait(3)
    follower.stop()

    assert not follower.is_alive()
    assert texts == ["only"]


def test_an_older_run_of_the_same_task_is_not_shown(server, client):
    old = open_run(client, "old")
    log(client, old, "old")
    board, texts, seen, follower = follow(server)
    log(client, old, "still old")
    log(client, open_run(client, "new"), "new")
    assert seen.wait(3)
    follower.stop()

    assert texts == ["new"]
    assert board.run == "new"


def test_nonsense_in_the_streams_does_not_end_the_view(server, client):
    board, texts, seen, follower = follow(server)
    keys = open_run(client, "r1")
    client.xadd(keys.log, {"r": b"{", "p": "a"})
    client.xadd(keys.metrics, {"m": b"[1]"})
    client.xadd(keys.control("a"), {"k": "progress"}, id="1-1")
    log(client, keys, "fine")
    assert seen.wait(3)
    follower.stop()

    assert texts == ["fine"]
    assert board.points == []


def test_the_first_fail_message_of_a_party_is_kept(server, client):
    board, _, _, follower = follow(server)
    keys = open_run(client, "r1")
    client.xadd(keys.control("a"), encode_control("fail", {"error": "E: 1", "log_id": "5-0"}), id="1-1")
    client.xadd(keys.control("a"), encode_control("fail", {"error": "E: 2"}), id="1-2")
    time.sleep(0.7)  # longer than one blocking read
    follower.stop()

    assert board.fails["a"]["error"] == "E: 1"


def test_what_a_party_said_last_counts_even_if_it_is_read_after_its_end():
    board = Board([("a", "aggregator")], rounds=2)
    board.end("a", "done")

    board.metric(MetricPoint("a", 2, "test/accuracy", 0.75, time.time()))
    board.control(Control("a", 1, 9, "progress", {"state": "testing", "round": 2}))

    (row,) = board.rows()
    assert (row.state, row.round, row.accuracy) == ("done", 2, 0.75)


def test_log_lines_say_party_round_and_level_in_words():
    assert format_record(line("loss 0.3", 2)) == "a | round 2 | loss 0.3"
    assert format_record(line("one\ntwo", level="ERROR")) == "a | ERROR | one\n    two"


def test_a_terminal_gets_the_last_of_many_lines_and_how_many_more_there_are(tmp_path):
    with (tmp_path / "screen").open("w+") as screen:
        view = TerminalView(Output(screen), Board([("a", "aggregator")]), "title")
        view.log([line(f"line {number}") for number in range(LINES_AT_ONCE + 1200)])
        screen.seek(0)
        shown = screen.read()

    assert "1,200 more lines, see logs.jsonl" in shown
    assert "line 1199\n" not in shown
    assert "line 1299\n" in shown
