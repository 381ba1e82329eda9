"""What the parties of `test_psi_scheduler.py` run, each in a process of its own."""

from __future__ import annotations

import functools
import gc
import os
import resource
import tracemalloc
from typing import Any

from playground_ext import mock_context
from playground_ext.party.context import current
from playground_ext.psi import buckets, channel, ecdh, exchange
from playground_ext.psi import scheduler as psi


def intersect(kind: str, **options: Any) -> dict[str, Any]:
    channel._ACK_BYTES = int(os.environ.get("ACKNOWLEDGE_EVERY", channel._ACK_BYTES))
    exchange.RSA_BLOCK_IDS = int(os.environ.get("RSA_BLOCK_IDS", exchange.RSA_BLOCK_IDS))
    scheduler = getattr(psi, kind)(**options)
    result = scheduler.run()
    outcome = scheduler.outcome
    file = result.folder / "intersection.csv"
    return {
        "common": scheduler.intersection,
        "report": outcome.report(),
        "learned": outcome.learned,
        "sent": outcome.sent,
        "received": outcome.received,
        "seconds": outcome.seconds,
        "file": file.read_text(encoding="utf-8") if file.exists() else None,
    }


def other_protocol(**options: Any) -> Any:
    """A collaborator whose code follows another protocol than the initiator's, although it claims the same family."""

    class Confused(psi.ECDHPSICollaboratorScheduler):
        protocol = "rsa"

    return Confused(**options).run()


def memory(kind: str, counts: list[int]) -> dict[int, int]:
    """The most bytes that intersections of so many ids held, beside the ids.

    Blocks, buckets and what waits for an acknowledgement are made small, or they would hide what grows.
    """
    ecdh.blind_blocks = functools.partial(ecdh.blind_blocks, block_ids=256)  # type: ignore[assignment]
    buckets.BUCKET_TAGS, buckets._CHUNK_BYTES = 512, 512
    channel._ACK_BYTES = 10_000
    me = current().party()
    found = {}
    for count in counts:
        first = count // 2 * me.nodes.index(me.id)
        ids = [f"person-{number}" for number in range(first, first + count)]
        gc.collect()
        tracemalloc.start()
        with mock_context(id=me.id, nodes=me.nodes, task_id=f"{me.task}-{count}"):
            scheduler = getattr(psi, kind)(ids)
            scheduler.run()
        found[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(scheduler.intersection) == count - count // 2
    return found


def on_a_full_disk(kind: str, ids: list[str], free: int) -> None:
    """What the tags of an intersection take does not fit into so many bytes; everything else does."""
    buckets.BUCKET_TAGS, buckets._CHUNK_BYTES = 512, 512
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, resource.RLIM_INFINITY))
    scheduler = getattr(psi, kind)(ids)
    scheduler.keep_rounds = 0
    scheduler.run()
