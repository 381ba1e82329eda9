"""Many rounds with many parties: memory stays where it is, and nothing piles up on the server."""

from __future__ import annotations

import time

import psutil
import pytest
from restarted_server import RestartedServer

COLLABORATORS = 7
WARM_UP = 0.3  # of the run, not measured: allocators and caches settle


def _slope(points: list[tuple[int, float]]) -> float:
    """Bytes a round, by least squares."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def _round(steps: list[str]) -> int:
    return int(steps[-1].split("round ")[1].split()[0]) if steps and "round " in steps[-1] else 0


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [30, pytest.param(200, marks=[pytest.mark.chaos, pytest.mark.timeout(600)])])
def test_memory_stays_flat_and_nothing_piles_up(battlefield, rounds):
    nodes = ["aggregator", *(f"collaborator-{number}" for number in range(1, COLLABORATORS + 1))]
    field = battlefield("fed_avg", nodes=nodes, options={"max_rounds": rounds, "log_rounds": 10})
    field.start_all()
    server: RestartedServer = field.server
    watched = {"server": psutil.Process(server.pid)}
    watched |= {party: psutil.Process(field.process(party).pid) for party in (nodes[0], nodes[1], nodes[-1])}
    memory: dict[str, list[tuple[int, float]]] = {name: [] for name in watched}
    used: list[tuple[int, float]] = []
    keys: list[int] = []
    lengths: list[int] = []
    deadline = time.monotonic() + 3 * rounds + 60
    with field.redis() as client:
        while field.join(0.25) and time.monotonic() < deadline:
            now = _round(field.steps(nodes[0]))
            if now < WARM_UP * rounds or now >= rounds:
                continue
            for name, process in watched.items():
                memory[name].append((now, process.memory_info().rss))
            used.append((now, client.info("memory")["used_memory"]))
            keys.append(client.dbsize())
            streams = [key for key in client.scan_iter(_type="stream") if b":q:" in key]
            lengths.append(max((client.xlen(key) for key in streams), default=0))

    assert len(field.answers()) == len(nodes), field.evidence()
    for name, points in {**memory, "server's data": used}.items():
        low, high = min(y for _, y in points), max(y for _, y in points)
        print(f"{name:<16} {_slope(points) / 1024:8.2f} KB a round, from {low / 1e6:.1f} to {high / 1e6:.1f} MB")
    print(f"keys: {min(keys)} to {max(keys)}; longest data stream: {max(lengths)} entries")
    assert max(lengths) <= 4 + 16  # of a round and the one before it, and those that stay for who watches
    assert max(keys) <= min(keys) + 8 * len(nodes)
    for name, points in memory.items():
        assert _slope(points) * rounds < 20 << 20, f"{name} grows"
    assert _slope(used) * rounds < 4 << 20
