"""Where this party's code finds its folders: `get_result_dir()` and its siblings, in AlphaMed's names."""

from __future__ import annotations

from playground_ext import settings
from playground_ext.errors import ConfigError
from playground_ext.party.context import current
from playground_ext.party.storage import PartyFolder, private_folder

__all__ = [
    "get_dataset_dir",
    "get_model_dir",
    "get_result_dir",
    "get_root_dir",
    "get_runtime_dir",
    "get_share_dir",
]


def get_root_dir(task_id: str | None = None) -> str:
    """This party's private folder of the task."""
    return str(_folder(task_id).root)


def get_result_dir(task_id: str | None = None) -> str:
    """Results of the newest run; `playground run` collects them."""
    return str(_folder(task_id).latest.results)


def get_model_dir(task_id: str | None = None) -> str:
    """Models that this party brings or keeps."""
    return str(private_folder(_folder(task_id).root / "models"))


def get_runtime_dir(task_id: str | None = None) -> str:
    """Scratch space of this party."""
    return str(private_folder(_folder(task_id).root / "runtime"))


def get_share_dir(task_id: str | None = None) -> str:
    """A folder that all parties of the task on this machine see. Only a simulation has one."""
    return str(private_folder(_folder(task_id).root.parent / "share"))


def get_dataset_dir(task_id: str | None = None) -> str:
    """Data sets, one shared read-only copy for all parties; `torchvision.datasets.MNIST` finds its files here."""
    from playground_ext.data import dataset_dir

    return str(dataset_dir())


def _folder(task_id: str | None) -> PartyFolder:
    context, known = current(), settings.read()
    task = task_id or (context.task_id if context else None) or known.task
    party = (context.id if context else None) or known.party
    if not task or not party:
        raise ConfigError(
            "which party's folder? nobody has said who this notebook is",
            next_step="call it inside `with mock_context(id=…, nodes=[…], task_id=…):`, or set PLAYGROUND_PARTY, _TASK",
        )
    return PartyFolder.of(task, party)
