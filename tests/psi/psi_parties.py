"""What the parties of `test_psi_scheduler.py` run, each in a process of its own."""

from __future__ import annotations

import os
from typing import Any

from playground_ext.psi import channel
from playground_ext.psi import scheduler as psi


def intersect(kind: str, **options: Any) -> dict[str, Any]:
    channel._ACK_BYTES = int(os.environ.get("ACKNOWLEDGE_EVERY", channel._ACK_BYTES))
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
