"""What being able to come back costs: outbox, checkpoints and recordings against the same rounds without them.

FedAvg on MNIST (the full set if PLAYGROUND_DATA names it) and a split model, with one party on each side. Recovery is
switched off here only, by replacing its parts in the parties' processes. Goals: 1.03 of a FedAvg round on full MNIST,
1.05 of a hetero-NN round.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from measure import interleaved, table  # noqa: E402
from scripted_parties import ScriptedParties  # noqa: E402

from playground_ext.bus.server import EmbeddedServer  # noqa: E402
from playground_ext.data import mnist  # noqa: E402

PAIRS = 3  # federations with and without recovery, in turn: the machine's mood changes
FED_AVG_ROUNDS, SPLIT_ROUNDS = 4, 6  # the first is not counted
GOALS = {"fed_avg": 1.03, "hetero_nn": 1.05}

_PARTY = """
import json, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import bench_recovery
from playground_ext import mock_context
if not {recovery!r}:
    bench_recovery.forget_everything()
with mock_context(id={party!r}, nodes={nodes!r}, task_id="bench"):
    result = bench_recovery.SCHEDULERS[{algorithm!r}]({party!r}).run()
Path({answer!r}).write_text(json.dumps([report.seconds for report in result.round_reports]))
"""


def forget_everything() -> None:
    """Nothing is kept on disk: messages in memory only, no checkpoints, no recordings."""
    from playground_ext.party.checkpoint import Checkpoints
    from playground_ext.party.outbox import MemoryOutbox
    from playground_ext.scheduler import session

    class Forgetful(MemoryOutbox):
        def __init__(self, folder: Path) -> None:
            super().__init__(copy=True)

    session.Outbox = Forgetful  # type: ignore[misc, assignment]
    Checkpoints.save = lambda self, round, state: None  # type: ignore[method-assign]
    os.environ["PLAYGROUND_KEEP_ROUNDS"] = "0"


def fed_avg(party: str) -> Any:
    import torch
    from bench_fed_avg import Federated

    torch.set_num_threads(1)
    return Federated(max_rounds=FED_AVG_ROUNDS, log_rounds=1, calculation_timeout=300)


def hetero_nn(party: str) -> Any:
    sys.path.insert(0, str(HERE.parent / "chaos"))
    import chaos_parties

    chaos_parties.SAMPLES = 3000
    for side in (chaos_parties.Host, chaos_parties.Collaborator):
        side.split_dataset = lambda self, ids: (sorted(ids)[:2560], sorted(ids)[2560:])  # type: ignore[method-assign]
    options = {"max_rounds": SPLIT_ROUNDS, "log_rounds": 0} if party == "host" else {}
    return chaos_parties.hetero_nn(party, options)


SCHEDULERS = {"fed_avg": fed_avg, "hetero_nn": hetero_nn}
NODES = {"fed_avg": ("aggregator", "collaborator-1", "collaborator-2"), "hetero_nn": ("host", "collaborator-1")}


def rounds(algorithm: str, *, recovery: bool) -> list[float]:
    """Seconds of each round at the leader, without the first."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, EmbeddedServer() as server:
        folder = Path(name)
        parties = ScriptedParties(folder)
        env = {"PLAYGROUND_REDIS_URL": server.url, "PLAYGROUND_HOME": str(folder / "home")}
        nodes = NODES[algorithm]
        for party in nodes:
            source = _PARTY.format(
                here=str(HERE),
                recovery=recovery,
                party=party,
                nodes=nodes,
                algorithm=algorithm,
                answer=str(folder / f"{party}.answer"),
            )
            parties.start(party, source, env)
        outcomes = parties.finish(600)
        answer = folder / f"{nodes[0]}.answer"
        if not answer.exists():
            raise SystemExit("\n".join(outcome.err[-2000:] for outcome in outcomes.values()))
        seconds: list[float] = json.loads(answer.read_text())[1:]
        return seconds


def main() -> int:
    rows = []
    for algorithm, goal in GOALS.items():
        sides = {
            name: lambda recovery=recovery: statistics.median(rounds(algorithm, recovery=recovery))  # noqa: B023
            for name, recovery in (("with", True), ("without", False))
        }
        seconds = interleaved(sides, PAIRS)
        data = f" ({len(mnist()):,} images)" if algorithm == "fed_avg" else ""
        ratio = f"{1000 * seconds['with']:.1f} ms, {seconds['with'] / seconds['without']:.3f}"
        rows.append((f"{algorithm} round{data}", ratio, f"{1000 * seconds['without']:.1f} ms", f"{goal}"))
    table("what being able to come back costs: outbox, checkpoints and recordings, against none of them", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
