"""The server is killed, unreachable, full, or full of old tasks."""

from __future__ import annotations

import os
import signal
import time

import pytest
from battlefield import difference

ROUNDS = {"max_rounds": 3}


@pytest.mark.parametrize("keeps_data", [False, True], ids=["without data", "with data"])
def test_a_server_that_is_killed_while_a_party_computes_changes_nothing(battlefield, undisturbed, until, keeps_data):
    field = battlefield(keeps_data=keeps_data)
    moment = field.folder / "moment"
    field.start_all(collaborator_1=("says_when", 2, str(moment)))
    until(moment.exists)

    field.server.kill()
    until(lambda: field.server.lives == 2)
    moment.unlink()

    assert field.join() == []
    assert difference(undisturbed("fed_avg").answers, field.answers()) == "", field.evidence()
    assert field.what_is_left() == ""


def _stop_for(seconds: float, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("seconds", [2, pytest.param(20, marks=pytest.mark.chaos)])
def test_a_server_that_does_not_answer_for_a_while_changes_nothing(battlefield, undisturbed, until, seconds):
    field = battlefield()
    moment = field.folder / "moment"
    field.start_all(collaborator_1=("says_when", 2, str(moment)))
    until(moment.exists)
    moment.unlink()

    _stop_for(seconds, field.server.pid)

    assert field.join() == []
    assert difference(undisturbed("fed_avg").answers, field.answers()) == "", field.evidence()


def _limit(field, limit: int) -> None:
    """Give the server this many bytes: it needs about a million for itself."""
    with field.redis() as client:
        client.config_set("maxmemory", limit)


def test_a_full_server_is_waited_for(battlefield, undisturbed, until):
    field = battlefield()
    moment = field.folder / "moment"
    field.start_all(collaborator_1=("says_when", 2, str(moment)))
    until(moment.exists)
    _limit(field, 500_000)
    moment.unlink()
    time.sleep(3)  # heartbeats, progress, logs and an update find no room
    assert field.answers() == {}
    _limit(field, 12 << 20)

    assert field.join() == []
    assert difference(undisturbed("fed_avg").answers, field.answers()) == "", field.evidence()


def test_a_server_that_stays_full_is_an_error_that_names_who_is_slow(battlefield, until, assert_clear):
    field = battlefield(options={"calculation_timeout": 2, "schedule_timeout": 1})
    moment = field.folder / "moment"
    field.start_all(aggregator=None, collaborator_1=("says_when", 2, str(moment)))
    until(moment.exists)
    _limit(field, 500_000)
    moment.unlink()

    until(lambda: field.error("collaborator-1"))
    assert_clear(field.error("collaborator-1"), "ServerFull", "collaborator-1", "aggregator has acknowledged least")


def test_a_thousand_old_tasks_cost_nothing(battlefield, undisturbed):
    field = battlefield()
    with field.redis() as client:
        pipeline = client.pipeline()
        for number in range(1000):
            task, run = f"old-{number}", f"{number:012x}"
            pipeline.zadd("pg:tasks", {task: number})
            pipeline.set(f"pg:{{{task}}}:run", run)
            pipeline.hset(f"pg:{{{task}}}:{run}:meta", mapping={"status": "running", "run": "{}"})
            for party in field.nodes:
                pipeline.xadd(f"pg:{{{task}}}:{run}:c:{party}", {"k": "hello", "m": "{}"}, id="1-1")
                (field.home / task / party / run / "results").mkdir(parents=True)
        pipeline.execute()
    expected = undisturbed("fed_avg")
    started = time.monotonic()
    field.start_all()

    assert field.join() == []
    seconds = time.monotonic() - started
    print(f"with 1,000 old tasks {seconds:.1f} s, without {expected.seconds:.1f} s")
    assert difference(expected.answers, field.answers()) == "", field.evidence()
