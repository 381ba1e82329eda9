"""A party's folders.

<PLAYGROUND_HOME>/<task>/<party>/        private to the user (0700)
    lease                                locked while the party takes part in a run
    logs.jsonl                           everything it logged, over all runs
    latest                               link to the newest run
    <run>/results  checkpoints  outbox
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from playground_ext import settings
from playground_ext.party.disk import storage_error

__all__ = ["PartyFolder", "RunFolder"]


@dataclass(frozen=True)
class RunFolder:
    """What a party keeps of one run."""

    root: Path

    @property
    def results(self) -> Path:
        return private_folder(self.root / "results")

    @property
    def checkpoints(self) -> Path:
        return private_folder(self.root / "checkpoints")

    @property
    def outbox(self) -> Path:
        return private_folder(self.root / "outbox")

    @property
    def recordings(self) -> Path:
        return private_folder(self.root / "recordings")

    @property
    def report(self) -> Path:
        """Written last: a party that has it has done its part of the run."""
        return self.results / "report.json"


@dataclass(frozen=True)
class PartyFolder:
    """What a party keeps of one task."""

    root: Path

    @classmethod
    def of(cls, task: str, party: str) -> PartyFolder:
        return cls(private_folder(settings.read().home / task / party))

    @property
    def lease(self) -> Path:
        return self.root / "lease"

    @property
    def logs(self) -> Path:
        return self.root / "logs.jsonl"

    def run(self, run: str) -> RunFolder:
        """The folder of a run, made the newest one."""
        folder = private_folder(self.root / run)
        link = self.root / f".latest-{os.getpid()}"
        with contextlib.suppress(OSError):  # a file system without links does without the shortcut
            link.symlink_to(run, target_is_directory=True)
            link.replace(self.root / "latest")
        return RunFolder(folder)

    @property
    def last_run(self) -> RunFolder | None:
        """The newest run's folder, if there was a run."""
        link = self.root / "latest"
        return RunFolder(link.resolve()) if link.exists() else None

    @property
    def latest(self) -> RunFolder:
        """The newest run's folder; a place of its own before the first run."""
        link = self.root / "latest"
        return RunFolder(link.resolve() if link.exists() else private_folder(self.root / "no-run"))


def private_folder(path: Path) -> Path:
    """Create a folder that only this user can read.

    Raises:
        StorageError: the disk is full or not writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise storage_error(error, path, "create a folder") from error
    return path
