"""The pieces below the routes, each by itself."""

from __future__ import annotations

import ast
import json
import math
import os
import random
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import playground_ext
from playground_ext.runner.parameters import Parameter, read_parameters_cell
from playground_ext.runner.plan import make_plan
from playground_ext.runner.templates import find_templates
from playground_ext.server.app import share
from playground_ext.server.declaration import declare
from playground_ext.server.filling import fill_parameters
from playground_ext.server.latencies import Journeys
from playground_ext.server.messages import Envelope
from playground_ext.server.numbered import Numbered
from playground_ext.server.paths import Root
from playground_ext.server.refusals import BadField
from playground_ext.server.rounds import PartyReport, RoundEnd, round_end
from playground_ext.server.timeline import Stopwatch
from playground_ext.server.traffic import Ledger
from playground_ext.server.wire import LogItem, Phase, encode


def test_numbered_items_are_those_of_a_plain_list_however_many_left_memory(monkeypatch):
    monkeypatch.setattr("playground_ext.server.numbered.SPOOLED_AT_ONCE", 7)
    chance = random.Random(1)
    items, oracle = Numbered(most_items=20, most_bytes=10_000), []
    try:
        for _ in range(300):
            more = [f'{{"seq":{len(oracle) + n + 1}}}'.encode() for n in range(chance.randrange(4))]
            items.add(more)
            oracle += more
            before, most = chance.randrange(1, len(oracle) + 3), chance.randrange(1, 40)
            expected = oracle[: before - 1][-most:]
            found, first = items.before(before, most)
            assert found == expected
            assert not found or first == min(before, len(oracle) + 1) - len(expected)
            after = chance.randrange(max(1, items.first) - 1, len(oracle) + 2)
            assert items.after(after, most)[0] == oracle[after:][:most]
        assert items.last == len(oracle)
        assert items.first > 100
    finally:
        items.close()


def test_memory_is_bounded_by_bytes_as_well():
    items = Numbered(most_items=1000, most_bytes=5000)
    try:
        for _ in range(100):
            items.add([b"x" * 1000])
        assert items.last - items.first < 6
        assert len(items.before(51, 50)[0]) == 50
    finally:
        items.close()


@pytest.mark.parametrize(
    ("source", "values", "filled"),
    [
        ('task_id = "x"  # "why"\n', {"task_id": "mine"}, 'task_id = "mine"  # "why"\n'),
        ("a = 1; b = 2", {"b": 3, "a": True}, "a = True; b = 3"),
        ("a: int = 1", {"a": -5}, "a: int = -5"),
        ("a = (\n    1\n)  # end", {"a": 2}, "a = (\n    2\n)  # end"),
        ('ä = "ö"; b = "é"', {"b": "ü"}, 'ä = "ö"; b = "ü"'),
        ('a = ""', {"a": 'say "hi"\n'}, "a = 'say \"hi\"\\n'"),
        ('a = ""', {"a": "it's"}, 'a = "it\'s"'),
        ("a = 1", {"b": 2}, "a = 1"),
        ("a = b = 1", {"b": 2}, "a = b = 2"),
    ],
)
def test_values_are_written_into_the_cell_and_comments_stay(source, values, filled):
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source.splitlines(keepends=True)}
    notebook = {"cells": [cell]}

    fill_parameters(notebook, values, name="x.ipynb")

    assert cell["source"] == filled
    ast.parse(filled)
    written = read_parameters_cell(notebook, name="x.ipynb")
    assert {name: value for name, value in written.items() if name in values} == {
        name: value for name, value in values.items() if name in written
    }


@pytest.mark.parametrize("name", sorted(find_templates()))
def test_a_declaration_says_what_its_template_says(name):
    template = find_templates()[name]
    plan = make_plan(template)
    said = tomllib.loads(declare(plan))

    assert (said["title"], said["description"]) == (template.title, template.description)
    assert list(said["roles"]) == list(template.roles)
    for role in template.roles:
        assert said["roles"][role]["notebooks"] == [f"{p.name}.ipynb" for p in plan.parties if p.role == role]
    for parameter, declared in template.parameters.items():
        read = Parameter(
            **{key: tuple(v) if key == "choices" else v for key, v in said["parameters"][parameter].items()}
        )
        assert read.problems() == []
        assert (read.default, read.minimum, read.maximum, read.choices, read.help) == (
            declared.default,
            declared.minimum,
            declared.maximum,
            declared.choices,
            declared.help,
        )


def end(round: int, at: float | None = None, **more: float) -> RoundEnd:
    return RoundEnd(**{"round": round, "seconds": 2.0, "waited": 0.5, "sent": 0, "received": 0, "at": at, **more})


def test_waiting_and_work_take_turns():
    watch = Stopwatch()
    said = [("training", 10.0), ("training", 11.0), ("waiting for updates", 12.5), ("testing", 14.0)]
    for state, at in said:
        watch.say("a", state, 1, at, late=False)
    watch.stop("a", 14.5)

    assert watch.phases(99.0, {}) == [
        Phase("a", 1, "compute", 10.0, 2.5),
        Phase("a", 1, "wait", 12.5, 1.5),
        Phase("a", 1, "compute", 14.0, 0.5),
    ]


def test_a_party_that_left_at_an_unknown_moment_counts_until_its_last_word():
    watch = Stopwatch()
    for at in (10.0, 12.0):
        watch.say("a", "training", 1, at, late=False)
    watch.stop("a", None)

    assert watch.phases(1e9, {}) == [Phase("a", 1, "compute", 10.0, 2.0)]


def test_what_began_before_anybody_watched_is_left_to_the_report():
    watch = Stopwatch()
    watch.say("a", "training", 1, 10.0, late=True)
    watch.say("a", "waiting", 1, 12.0, late=False)

    assert watch.phases(13.0, {}) == [Phase("a", 1, "wait", 12.0, 1.0)]


def test_a_round_that_is_over_is_what_its_party_measured_and_the_next_is_watched():
    watch = Stopwatch()
    watch.say("a", "aligning", 0, 9.0, late=False)
    watch.say("a", "training", 1, 10.0, late=False)
    watch.say("a", "waiting for the global model", 1, 11.75, late=False)
    watch.round_over("a", end(1, transferred=0.25), at=12.0)
    watch.say("a", "waiting for the global model", 1, 12.5, late=False)  # it waits for round 2, and says 1

    # 2 s that end at 12: 0.5 of them waited, 0.25 transferred, so 1.25 computed
    assert watch.phases(13.0, {}, 2) == [
        Phase("a", 0, "compute", 9.0, 1.0),
        Phase("a", 1, "wait", 10.0, 0.5),
        Phase("a", 1, "transfer", 10.5, 0.25),
        Phase("a", 1, "compute", 10.75, 1.25),
        Phase("a", 2, "wait", 12.0, 1.0),
    ]
    assert all(phase.round < 2 for phase in watch.phases(13.0, {}, 1))  # the task had one round


def test_a_round_that_is_done_again_after_a_checkpoint_is_what_was_measured_last():
    watch = Stopwatch()
    for round in (1, 2, 3):
        watch.say("a", "training", round, 10.0 * round, late=False)
        watch.round_over("a", end(round), at=10.0 * round + 5)
    watch.say("a", "training", 2, 50.0, late=False)  # back after round 1
    assert [(p.round, p.phase) for p in watch.phases(51.0, {}) if p.start >= 50] == [(2, "compute")]
    watch.round_over("a", end(2, seconds=4.0, waited=0.0), at=54.0)

    assert [p for p in watch.phases(60.0, {}) if p.round == 2 and p.seconds] == [Phase("a", 2, "compute", 50.0, 4.0)]


def test_measures_that_do_not_fit_are_cut_to_the_round():
    phases = list(end(1, waited=5.0, transferred=1.0).phases("a", 10.0))

    assert [phase.seconds for phase in phases] == [2.0, 0.0, 0.0]


def test_reports_tell_what_nobody_watched_as_if_rounds_had_followed_one_another():
    report = PartyReport([end(1), end(2, seconds=1.0, transferred=0.5)], written=20.0)

    assert [(p.round, p.phase, p.start, p.seconds, p.late) for p in Stopwatch().phases(0.0, {"a": report})] == [
        (1, "wait", 17.0, 0.5, True),
        (1, "transfer", 17.5, 0.0, True),
        (1, "compute", 17.5, 1.5, True),
        (2, "wait", 19.0, 0.5, True),
        (2, "transfer", 19.5, 0.5, True),
        (2, "compute", 20.0, 0.0, True),
    ]


@pytest.mark.parametrize(
    "body", [{}, {"round": 1}, {"round": "1", "seconds": 1, "waited": 0, "sent": 0, "received": 0}]
)
def test_what_is_no_measure_of_a_round_is_none(body):
    assert round_end(body) is None


def envelope(sender: str, receiver: str, round: int, size: int, **more: object) -> Envelope:
    fields = {"incarnation": 1, "number": 1, "kind": "k", "attempt": 0, "step": "", "tensors": None, **more}
    return Envelope(sender=sender, receiver=receiver, round=round, size=size, **fields)


def traffic(*crossed: tuple[int, int], told=(), report=None, ended=False) -> dict[int, int]:
    """Bytes that `a` sent, by round; crossed: (round, size)."""
    ledger = Ledger()
    for round, size in crossed:
        ledger.add(envelope("a", "b", round, size))
    rounds = {"a": {one.round: one for one in told}} if told else {}
    rows = ledger.rows(rounds, {"a": report} if report else {}, ["a"] if ended else [])
    return {row.round: row.sent for row in rows if row.party == "a"}


def test_bytes_of_an_intersection_belong_to_the_one_round_that_measured_them():
    sent = [(0, 100), (0, 50)]  # its messages carry no round

    assert traffic(*sent) == {0: 150}
    assert traffic(*sent, told=[end(1, sent=150)]) == {1: 150}
    assert traffic(*sent, told=[end(1, sent=150)], ended=True) == {1: 150}
    assert traffic(*sent, report=PartyReport([end(1, sent=150)], sent=150)) == {1: 150}


def test_bytes_outside_of_rounds_are_the_same_live_and_at_the_end():
    crossed = [(0, 30), (1, 100), (2, 100), (3, 7)]  # alignment, two rounds, and the word that it is over
    told = [end(1, sent=100), end(2, sent=100)]

    assert traffic(*crossed[:2]) == {0: 30, 1: 100}
    assert traffic(*crossed[:3], told=told[:1]) == {0: 30, 1: 100, 2: 100}
    live = traffic(*crossed, told=told, ended=True)
    assert live == {0: 37, 1: 100, 2: 100}
    assert live == traffic(*crossed, told=told, report=PartyReport(told, sent=237), ended=True)
    assert live == traffic(report=PartyReport(told, sent=237))  # from files alone


def test_who_comes_late_has_the_measured_rounds_and_the_one_that_goes_on():
    assert traffic((3, 60), told=[end(1, sent=100), end(2, sent=100)]) == {1: 100, 2: 100, 3: 60}


def test_a_latency_is_found_whichever_of_message_and_receipt_is_read_first():
    journeys = Journeys()
    first = envelope("a", "b", 1, 5, at=100.0)
    again = envelope("a", "b", 1, 5, at=100.0, incarnation=2)  # sent again after a crash
    other = envelope("a", "b", 2, 5, number=2, at=101.0)

    assert journeys.send(first, 1) == (True, None)
    assert journeys.send(again, 2) == (False, None)
    assert list(journeys.take("b", [["a", "2-1", 100.5], ["a", "1-2", 101.25]])) == [(1, 0.5)]
    assert journeys.send(other, 2) == (True, 0.25)
    assert list(journeys.take("b", [["a", "1-1", 90.0]])) == [(1, 0.0)]  # clocks that differ


@pytest.mark.parametrize("said", [None, 5, [1], [["a", "1-1"]], [["a", "x", 1.0]], [["a", "1-1", math.inf]]])
def test_receipts_that_make_no_sense_are_left_out(said):
    journeys = Journeys()
    journeys.send(envelope("a", "b", 1, 5, at=100.0), 1)

    assert list(journeys.take("b", said)) == []


@pytest.mark.parametrize("path", ["..", "a/../..", "/../x", "a/.git", "x\0", "link", "link/b", "a\\..\\b"])
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, path: str):
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)

    with pytest.raises(BadField):
        Root(root).inside(path)


def test_paths_within_the_root_are_jupyters(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "out").symlink_to("/etc")
    root = Root(tmp_path)

    assert root.inside("/a/b.ipynb") == root.inside("a/b.ipynb") == tmp_path.resolve() / "a" / "b.ipynb"
    assert root.inside("") == tmp_path.resolve()
    assert root.name(tmp_path / "a" / "b.ipynb") == "a/b.ipynb"
    assert root.name(tmp_path) == ""
    assert root.name(tmp_path.parent) is None
    assert root.name(tmp_path / "out" / "passwd") is None


def test_a_line_that_is_no_unicode_travels_as_escapes():
    assert b"\\\\udcff" in encode(LogItem(1, 0.0, "a", "INFO", None, "log", "\udcff"))


def test_jupyter_finds_the_extension_by_the_file_that_is_installed():
    checkout = Path(playground_ext.__file__).parents[1]
    mapped = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    (source,) = [
        source
        for source, target in mapped["shared-data"].items()
        if target == "etc/jupyter/jupyter_server_config.d/playground_ext.json"
    ]
    assert json.loads((checkout / source).read_text()) == {
        "ServerApp": {"jpserver_extensions": {"playground_ext": True}}
    }
    (point,) = playground_ext._jupyter_server_extension_points()
    assert point["app"].name == "playground_ext"


def test_what_kernels_inherit_is_the_root_unless_the_user_said_otherwise(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_RUNS", "/elsewhere")
    monkeypatch.delenv("PLAYGROUND_WORKSPACE")
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    (tmp_path / "repository" / "notebooks").mkdir()

    share(Root(tmp_path / "repository" / "notebooks"))

    assert os.environ.pop("PLAYGROUND_WORKSPACE") == str(tmp_path / "repository")
    assert os.environ["PLAYGROUND_RUNS"] == "/elsewhere"


RECORDS = """
import sys, threading
import msgspec
from playground_ext.server.records import learn_records

SOURCE = '''
import msgspec
class Role(msgspec.Struct):
    count: int
    names: list[str] = []
class Template(msgspec.Struct):
    roles: dict[str, Role]
    title: str | None = None
'''
kinds = []
for _ in range(300):
    made = {"__name__": "playground_ext.made"}
    exec(SOURCE, made)
    kinds.append(made["Template"])
if "learned" in sys.argv:
    learn_records()
sys.setswitchinterval(1e-6)
for kind in kinds:
    together = threading.Barrier(4)
    def decode():
        together.wait(10)
        msgspec.convert({"roles": {"host": {"count": 1}}}, type=kind)
    threads = [threading.Thread(target=decode) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join(10) for thread in threads]
"""


def test_threads_that_are_the_first_to_decode_a_record_together_do_not_crash_the_server():
    """They do with msgspec 0.22: without `learned` this ends with a segmentation fault."""
    done = subprocess.run([sys.executable, "-c", RECORDS, "learned"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
