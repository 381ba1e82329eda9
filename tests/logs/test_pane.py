"""Real kernels: what a saved notebook shows of everybody's lines."""

from __future__ import annotations

from typing import Any

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


def start(server: Any, nodes: list[str], party: str) -> str:
    return START.format(nodes=nodes, party=party, url=server.url)


# Every party says that it has come this far, and goes on when all have.
MEET = """
def meet(name):
    from playground_ext.bus.connection import Connection
    with Connection({url!r}) as connection:
        connection.client.rpush("meet:" + name, *["x"] * len(nodes))
        for _ in nodes:
            assert connection.client.blpop("meet:" + name, timeout=5)
"""


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
