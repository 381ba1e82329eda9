"""The session as the scheduler sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from playground_ext.bus.keys import RunKeys
from playground_ext.bus.server import EmbeddedServer
from playground_ext.errors import ConfigError
from playground_ext.logs import LogSession, logger


def test_a_level_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'LOUD' is not a log level"):
        LogSession("alice", tmp_path / "logs.jsonl", level="LOUD")


def test_a_session_that_does_not_run_takes_every_call(tmp_path: Path, keys: RunKeys) -> None:
    session = LogSession("alice", tmp_path / "logs.jsonl")
    session.publish("unix:///nowhere", keys, ["alice"])
    session.round = 1
    session.status("waiting")

    assert session.error("failed") is None
    assert session.drain() == 0
    assert session.wait_for({"bob": 3}) == []
    session.stop()
    assert not session.file.exists()


def test_starting_and_stopping_twice_changes_nothing(
    server: EmbeddedServer, keys: RunKeys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = LogSession("alice", tmp_path / "logs.jsonl")
    session.start()
    session.start()
    session.publish(server.url, keys, ["alice"])
    print("said once")
    assert session.drain() == 1
    session.stop()
    session.stop()

    assert session.drain() == 1
    assert session.file.read_text().count("said once") == 1


def test_a_session_can_move_to_another_run(server: EmbeddedServer, tmp_path: Path) -> None:
    first, second = RunKeys("logtest", "r1"), RunKeys("logtest", "r2")
    session = LogSession("alice", tmp_path / "logs.jsonl")
    session.start()
    try:
        session.publish(server.url, first, ["alice", "bob"])
        logger.info("in the first")
        session.drain()
        session.publish(server.url, second, ["alice", "bob"])
        logger.info("in the second")
        assert session.wait_for({"alice": session.drain()}, 5.0) == []
    finally:
        session.stop()

    from playground_ext.bus.connection import Connection
    from playground_ext.logs.record import Batch

    with Connection(server.url) as connection:
        found = [
            [
                record.text
                for _, fields in connection.client.xrange(run.log)
                if (b := Batch.of(fields))
                for record in b.records()
            ]
            for run in (first, second)
        ]
    assert found == [["in the first"], ["in the second"]]


def test_the_round_is_stamped_on_what_is_said_in_it(server: EmbeddedServer, keys: RunKeys, tmp_path: Path) -> None:
    session = LogSession("alice", tmp_path / "logs.jsonl")
    session.round = 1
    session.start()
    print("one")
    session.round = None
    print("none")
    session.stop()

    saved = session.file.read_text().splitlines()
    assert ['"round":1' in saved[0], '"round":null' in saved[1]] == [True, True]
