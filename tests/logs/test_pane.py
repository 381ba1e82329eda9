"""Real kernels: what a saved notebook shows of everybody's lines."""

from __future__ import annotations

import os
import secrets
import sys
import textwrap
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from traitlets import default

START = """
import time, threading
from pathlib import Path
from playground_ext.bus.keys import RunKeys
from playground_ext.logs import LogSession, logger
nodes = {nodes!r}
session = LogSession({party!r}, Path({party!r}) / "logs.jsonl")
session.start()
session.publish({url!r}, RunKeys("logtest", "r1"), nodes)
"""


class ThisPythonBlocking(KernelManager):  # type: ignore[misc]
    transport = "ipc"

    @default("ip")
    def _short_socket_path(self) -> str:
        return os.path.join(os.environ["JUPYTER_RUNTIME_DIR"], secrets.token_hex(4))

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--HistoryManager.enabled=False"]
        return KernelSpec(argv=argv, display_name="test", language="python")


def start(server: Any, nodes: list[str], party: str) -> str:
    return START.format(nodes=nodes, party=party, url=server.url)


def test_every_notebook_saves_all_lines_of_all_parties_and_cells(server: Any, notebooks: Any) -> None:
    nodes = ["aggregator", "collaborator-1", "collaborator-2", "collaborator-3"]

    def cells(party: str) -> list[str]:
        talk = """
            for i in range(50):
                logger.info(f"cell {cell} line {{i}} of {party}")
            last = session.drain()
            from playground_ext.bus.connection import Connection
            with Connection({url!r}) as connection:
                connection.client.hset("last:{cell}", {party!r}, last)
                while len(everyone := connection.client.hgetall("last:{cell}")) < len(nodes):
                    time.sleep(0.02)
            session.wait_for({{name.decode(): int(seq) for name, seq in everyone.items()}})
        """
        return [
            start(server, nodes, party),
            *(talk.format(cell=cell, party=party, url=server.url) for cell in range(3)),
            "session.stop()",
        ]

    saved = notebooks.run(*(cells(party) for party in nodes))

    for notebook in saved:
        panes = [notebooks.pane(cell) for cell in notebook.cells]
        for cell in range(3):
            for party in nodes:
                for line in range(50):
                    text = f"cell {cell} line {line} of {party}"
                    assert sum(pane.count(text + "\n") + pane.endswith(text) for pane in panes) == 1, text
                lines = [f"cell {cell} line {line} of {party}" for line in range(50)]
                assert all(line in panes[cell] + panes[cell + 1] for line in lines)


def test_the_pane_survives_a_tab_completion_and_leaves_the_cells_own_output_alone(server: Any, notebooks: Any) -> None:
    """JupyterLab sends requests of other kinds while a cell runs; the kernel then thinks those are current."""
    other = [
        start(server, ["alice", "bob"], "bob"),
        "for i in range(20):\n    logger.info(f'bob {i}.')\n    time.sleep(0.05)\nsession.drain()",
        "session.stop()",
    ]
    cells = [
        start(server, ["alice", "bob"], "alice"),
        """
        kernel = get_ipython().kernel
        for i in range(10):
            print("mine", end=" ", flush=True)
            if i == 3:
                foreign = {"header": {"msg_id": "completion", "msg_type": "complete_request"}, "content": {}}
                threading.Thread(target=kernel.set_parent, args=([], foreign)).start()
            time.sleep(0.1)
        print("done")
        session.wait_for({"bob": 20}, 10.0)
        """,
        "session.stop()",
    ]
    alice, _ = notebooks.run(cells, other)

    assert notebooks.stream(alice.cells[1]) == "mine " * 10 + "done\n"
    panes = [notebooks.pane(cell) for cell in alice.cells]
    assert [sum(pane.count(f"bob {i}.") for pane in panes) for i in range(20)] == [1] * 20
    assert "bob 19." in panes[1]
    assert "mine mine mine mine mine mine mine mine mine mine done" in panes[1]


def test_a_real_completion_request_in_the_middle_of_an_async_cell(server: Any, notebooks: Any) -> None:
    cells = [
        "get_ipython().Completer.use_jedi = False  # which takes seconds",
        start(server, ["alice"], "alice"),
        """
        import asyncio
        for i in range(10):
            logger.info(f"async {i}.")
            await asyncio.sleep(0.05)
        """,
        "session.stop()",
    ]
    (alice,) = notebooks.run(cells, completing=True)

    panes = [notebooks.pane(cell) for cell in alice.cells]
    assert [panes[2].count(f"async {i}.") for i in range(10)] == [1] * 10


def test_a_flood_is_saved_up_to_5000_lines_with_its_errors(server: Any, notebooks: Any) -> None:
    cells = [
        start(server, ["alice"], "alice"),
        """
        logger.error("early failure")
        for i in range(8_000):
            logger.info(f"l{i}.")
        """,
        "session.stop()",
        "import json; print(len(Path('alice/logs.jsonl').read_text().splitlines()))",
    ]
    (alice,) = notebooks.run(cells)
    lines = notebooks.pane(alice.cells[1]).split("\n")

    assert lines[0] == "(3000 earlier lines not shown: playground logs logtest)"
    assert "ERROR early failure" in lines[1]
    assert lines[2].endswith("l3000.")
    assert lines[-1].endswith("l7999.")
    assert len(lines) == 5002
    assert "early failure" in notebooks.pane(alice.cells[1], "text/html")
    assert notebooks.stream(alice.cells[3]) == "8001\n"


def test_each_cell_has_one_display_and_a_status_that_vanishes(server: Any, notebooks: Any) -> None:
    cells = [
        start(server, ["alice"], "alice"),
        "session.status('1 of 3 here')\ntime.sleep(0.5)\nlogger.info('one')",
        "session.status(None)\nlogger.info('two')",
        "logger.info('three')\nsession.stop()",
        "logger.info('after the end')\nprint('plain')",
    ]
    (alice,) = notebooks.run(cells)
    displays = [[o for o in cell.outputs if o.output_type == "display_data"] for cell in alice.cells]

    assert [len(found) for found in displays] == [0, 1, 1, 1, 0]
    assert notebooks.pane(alice.cells[1]).split("\n")[-1] == "> 1 of 3 here"
    assert notebooks.pane(alice.cells[2]).endswith("two")
    assert notebooks.pane(alice.cells[3]).endswith("three")
    assert notebooks.stream(alice.cells[4]) == "plain\n"


def test_sessions_follow_each_other_and_leave_nothing_behind(server: Any, notebooks: Any) -> None:
    cells = [
        start(server, ["alice"], "alice") + "session.stop()\ntime.sleep(0.1)\n",
        """
        import sys, warnings
        def state():
            import logging
            hooks = sum(len(found) for found in get_ipython().events.callbacks.values())
            threads = sorted(t.name for t in threading.enumerate() if "playground" in t.name)
            return hooks, threads, type(sys.stdout).__name__, warnings.showwarning.__module__, logger.handlers
        before = state()
        for run in ("r1", "r2", "r3"):
            session = LogSession("alice", Path("alice") / "logs.jsonl")
            session.start()
            session.status("starting")
            session.publish(session_url, RunKeys("logtest", run), nodes)
            logger.info(f"in {run}.")
            session.stop()
        assert state() == before, (before, state())
        """.replace("session_url", repr(server.url)),
    ]
    (alice,) = notebooks.run(cells)

    panes = [notebooks.pane(cell) for cell in alice.cells]
    assert [panes[1].count(f"in r{n}.") for n in (1, 2, 3)] == [1, 1, 1]
    assert "starting" not in panes[1]


def test_the_last_lines_before_an_error_are_in_its_cell(server: Any, notebooks: Any) -> None:
    cells = [
        start(server, ["alice"], "alice"),
        "logger.info('about to fail')\n1 / 0",
    ]
    (alice,) = notebooks.run(cells, allow_errors=True)

    assert "about to fail" in notebooks.pane(alice.cells[1])


def test_lines_of_others_between_two_cells_go_to_the_next_one(server: Any, notebooks: Any) -> None:
    """A notebook run by a program saves nothing that comes after a cell."""
    cells = [
        start(server, ["alice", "bob"], "alice") + "from playground_ext.bus.connection import Connection\n",
        "with Connection(URL) as c:\n    c.client.rpush('go', 'x')",
        "session.wait_for({'bob': 3}, 10.0)\nsession.stop()",
    ]
    other = [
        start(server, ["alice", "bob"], "bob") + "from playground_ext.bus.connection import Connection\n",
        "with Connection(URL) as c:\n    c.client.blpop('go', timeout=20)\nfor i in range(3): logger.info(f'b{i}.')",
        "session.drain()\nsession.stop()",
    ]
    with_url = [[cell.replace("URL", repr(server.url)) for cell in one] for one in (cells, other)]
    alice, _ = notebooks.run(*with_url)

    assert [sum(notebooks.pane(cell).count(f"b{i}.") for cell in alice.cells) for i in range(3)] == [1, 1, 1]


def test_a_person_sees_lines_that_come_after_a_cell_in_that_cell(environment: dict[str, str], tmp_path: Path) -> None:
    """JupyterLab keeps listening to a cell that is done; only programs do not."""
    cell = f"""
        import threading
        from pathlib import Path
        from playground_ext.logs import LogSession, logger
        session = LogSession("alice", Path({str(tmp_path)!r}) / "logs.jsonl")
        session.start()
        threading.Timer(0.3, logger.info, ("later",)).start()
    """
    manager = ThisPythonBlocking()
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=30)
        request = client.execute(textwrap.dedent(cell), allow_stdin=True)
        idle = False
        while True:
            message = client.get_iopub_msg(timeout=10)
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["msg_type"] == "display_data":
                break
            idle = idle or message["content"].get("execution_state") == "idle"
        assert idle
        assert message["content"]["data"]["text/plain"].endswith("  alice  later")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def test_own_lines_are_shown_before_anybody_is_there(notebooks: Any) -> None:
    cells = [
        """
        from pathlib import Path
        from playground_ext.logs import LogSession, logger
        session = LogSession("alice", Path("alice") / "logs.jsonl")
        session.start()
        logger.info("on my own")
        """,
        "logger.warning('still')\nsession.stop()",
    ]
    (alice,) = notebooks.run(cells)

    assert notebooks.pane(alice.cells[0])[8:] == "  alice  on my own"
    assert notebooks.pane(alice.cells[1])[8:] == "  alice  WARNING still"


def test_a_worker_of_a_data_loader_does_not_publish_what_it_says(server: Any, notebooks: Any) -> None:
    cells = [
        start(server, ["alice"], "alice"),
        """
        import multiprocessing
        def work():
            logger.info("the worker logs")
            print("the worker prints", flush=True)
        worker = multiprocessing.get_context("fork").Process(target=work)
        worker.start()
        worker.join(10)
        assert worker.exitcode == 0
        logger.info("the parent logs")
        session.stop()
        """,
        "print(Path('alice/logs.jsonl').read_text().count('worker'))",
    ]
    (alice,) = notebooks.run(cells)

    assert "the parent logs" in notebooks.pane(alice.cells[1])
    assert "worker" not in notebooks.pane(alice.cells[1])
    assert notebooks.stream(alice.cells[2]) == "0\n"
