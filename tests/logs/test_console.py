"""Plain Python: the merged log on stderr, nothing doubled."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from playground_ext.bus.server import EmbeddedServer
from playground_ext.logs.console import LogConsole
from playground_ext.logs.record import Batch, LogRecord, encode_batch

SCRIPT = """
import sys, warnings
from pathlib import Path
from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import RunKeys
from playground_ext.logs import LogSession, logger

party, url, folder = sys.argv[1:]
nodes = ["alice", "bob"]
session = LogSession(party, Path(folder) / party / "logs.jsonl")
session.start()
session.status("waiting for the other (9:59 left)")
session.status("waiting for the other (9:58 left)")
session.publish(url, RunKeys("logtest", "r1"), nodes)
session.round = 2
logger.info(f"{party} logs")
print(f"{party} prints")
warnings.warn(f"{party} warns")
session.error("Traceback\\nValueError: wrong") if party == "bob" else None
with Connection(url) as connection:
    connection.client.hset("last", party, session.drain())
    for node in nodes:
        connection.client.rpush("meet-" + node, party)
    for _ in nodes:
        assert connection.client.blpop("meet-" + party, timeout=10)
    last = {key.decode(): int(value) for key, value in connection.client.hgetall("last").items()}
missing = session.wait_for(last, 5.0)
session.stop()
assert missing == [], missing
assert type(sys.stdout).__name__ == "TextIOWrapper"
"""


def test_two_scripts_show_each_others_lines_and_do_not_double_their_own(
    server: EmbeddedServer, environment: dict[str, str], tmp_path: Path
) -> None:
    processes = {
        party: subprocess.Popen(
            [sys.executable, "-W", "default", "-c", SCRIPT, party, server.url, str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for party in ("alice", "bob")
    }
    said = {party: process.communicate(timeout=60) for party, process in processes.items()}

    assert {party: process.returncode for party, process in processes.items()} == {"alice": 0, "bob": 0}, said
    assert said["alice"][0] == "alice prints\n"
    alice = said["alice"][1].splitlines()
    bob = said["bob"][1].splitlines()
    assert alice.count("alice | waiting for the other (9:59 left)") == 1
    assert not any("9:58" in line for line in alice)
    for lines in (alice, bob):
        assert lines.count("alice | round 2 | alice logs") == 1
        assert lines.count("bob | round 2 | bob logs") == 1
    assert "bob | round 2 | bob prints" in alice
    assert "alice | round 2 | alice prints" not in alice
    assert sum("alice warns" in line for line in alice) == 1
    assert sum("bob | round 2 | WARNING | UserWarning: bob warns" in line for line in alice) == 1
    at = alice.index("bob | round 2 | ERROR | Traceback")
    assert alice[at + 1] == "bob | round 2 | ERROR | ValueError: wrong"
    assert not any("ValueError" in line for line in bob)


def test_a_script_that_ends_without_stop_loses_nothing(
    server: EmbeddedServer, environment: dict[str, str], tmp_path: Path
) -> None:
    script = SCRIPT.split("session.status")[0] + "logger.info('the last words')\nprint('no line end', end='')"
    command = [sys.executable, "-W", "error", "-c", script, "alice", server.url, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert done.stderr == "alice | the last words\n"
    saved = (tmp_path / "alice" / "logs.jsonl").read_text().splitlines()
    assert ["the last words" in saved[0], "no line end" in saved[1], len(saved)] == [True, True, 2]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def batch(text: str, party: str = "bob") -> Batch:
    return Batch(party, 1, 1, 1, 0, encode_batch([LogRecord(0.0, party, "INFO", None, 1, "log", text)]))


def test_on_a_terminal_the_status_stays_below_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    console = LogConsole("alice", terminal)
    console.status("1 of 3 here (9:40 left)")
    console.accept(batch("hello\x1b[2J"))
    console.status("1 of 3 here (9:39 left)")
    console.stop()

    # cut to the width of 20 columns less one, erased before whatever comes
    erased = "\r" + " " * 19 + "\r"
    shown = "1 of 3 here (9:40 l"
    assert terminal.getvalue() == shown + erased + "bob | hello\n" + shown + erased + "1 of 3 here (9:39 l" + erased


def test_a_stream_that_is_gone_or_cannot_say_a_letter_breaks_nothing() -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = LogConsole("alice", ascii_only)
    console.accept(batch("größer"))
    ascii_only.seek(0)
    assert ascii_only.read() == "bob | gr\\xf6\\xdfer\n"

    closed = io.StringIO()
    closed.close()
    console = LogConsole("alice", closed)
    console.accept(batch("x"))
    LogConsole("alice", None).accept(batch("x"))
