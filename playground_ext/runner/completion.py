"""What the shell completes: names of templates and of tasks. Must not fail, and must not take long."""

from __future__ import annotations

from playground_ext.errors import PlaygroundError

__all__ = ["complete_party", "complete_task", "complete_template"]


def complete_template(incomplete: str) -> list[str]:
    from playground_ext.runner.templates import find_templates

    return _starting(list(find_templates()), incomplete)


def complete_task(incomplete: str) -> list[str]:
    from playground_ext.runner.history import tasks

    try:
        return _starting(tasks(), incomplete)
    except (OSError, PlaygroundError):
        return []


def complete_party(incomplete: str) -> list[str]:
    """Of all tasks: the shell does not tell which one was typed."""
    from playground_ext.runner.history import find_records

    try:
        return _starting([party.name for record in find_records() for party in record.parties], incomplete)
    except (OSError, PlaygroundError):
        return []


def _starting(names: list[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]
