"""`playground resume`: go on with a run that was stopped or killed, in its folder, from its parties' checkpoints."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue

import msgspec

from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import TaskKeys
from playground_ext.errors import ConfigError
from playground_ext.party.run_record import RunRecord
from playground_ext.runner.command import How, conclude, execute, fill
from playground_ext.runner.federation import stop_signals
from playground_ext.runner.history import Record, find_record, hold
from playground_ext.runner.outcome import Earlier
from playground_ext.runner.own_server import server_url
from playground_ext.runner.plan import Plan
from playground_ext.runner.plan_file import KeptPlan, code_digest, read_plan
from playground_ext.runner.position import newest_runs, position
from playground_ext.runner.recovery import keep_attempt

__all__ = ["examine", "resume_command"]


def resume_command(
    name: str, *, timeout: float | None = None, restarts: int | None = None, as_json: bool = False
) -> int:
    """Go on with a run, write its reports anew, say how it went; the exit code.

    `restarts`: None means as often as the run was started with.

    Raises:
        ConfigError: there is nothing to resume: no such run, it runs, it has finished, or it has no checkpoints.
        ServerError: no server.
        StorageError: the run folder cannot be written.
    """
    record = find_record(name)
    kept, earlier = examine(record)
    plan, folder = kept.plan, record.folder
    how = How(timeout, kept.plain, kept.restarts if restarts is None else restarts, as_json)
    events: SimpleQueue[tuple[str, object]] = SimpleQueue()
    with stop_signals(events), server_url(events) as where, hold(folder, plan.task):
        sources, code = _choose_sources(kept, folder)
        for party in plan.nodes:
            keep_attempt(folder / f"{party}.ipynb")
        _let_all_take_part(plan, folder, where[0])
        values, kernels = fill(plan, folder, how, sources=sources, code=code)
        how.output.write(_announcement(record, earlier, sources, folder))
        how.output.flush()
        outcome, problems = execute(plan, folder, values, kernels, how, where, events, earlier=earlier)
    return conclude(outcome, problems, as_json=as_json)


def examine(record: Record) -> tuple[KeptPlan, Earlier]:
    """What is resumed, and from where.

    Raises:
        ConfigError: there is nothing to resume: it was run by hand, it runs, it has finished, or it has no checkpoints.
    """
    name = record.name
    if record.template is None:
        raise ConfigError(
            f"the notebooks of {name} were run by hand, not by `playground run`",
            next_step="run them again with PLAYGROUND_RESUME=1 in their environment: they go on from their checkpoints",
        )
    if record.active:
        raise ConfigError(
            f"{name} is running", next_step=f"watch it with `playground logs {name} --follow`, or stop it first"
        )
    if record.status == "ok":
        raise ConfigError(
            f"{name} has finished: there is nothing to resume; the result is in {record.folder}",
            next_step=f"`playground show {name}` says what came of it",
        )
    kept = read_plan(record.folder)
    found = None if kept is None else position(kept.plan, record.folder)
    if kept is None or found is None:
        source = record.template if kept is None or kept.plan.template.source != "path" else kept.plan.template.folder
        raise ConfigError(
            f"{name} cannot be resumed: it was over before its first checkpoint",
            next_step=f"start anew: playground run {source}",
        )
    said = record.summary
    seconds = sum(float(said[key]) for key in ("seconds", "seconds_before") if isinstance(said.get(key), int | float))
    times = said.get("resumed")
    run, round = found
    return kept, Earlier(run, round, record.began, seconds, 1 + (times if isinstance(times, int) else 0))


def _let_all_take_part(plan: Plan, folder: Path, url: str) -> None:
    """Unless all have done their parts: whoever has its result would not join the others again, who need its word.

    A server that still knows the run learns that nobody is in it any more, so that its initiator opens it again.
    """
    runs = newest_runs(plan, folder).values()
    if all(run.report.exists() for run in runs):
        return
    for run in runs:
        run.report.unlink(missing_ok=True)
        record = RunRecord.load(run.root)
        if record is not None and record.finished:
            msgspec.structs.replace(record, finished=False).save(run.root)
    with Connection(url, name="playground-run") as connection:
        for keys in {TaskKeys(run.root.parents[1].name).of(run.root.name) for run in runs}:
            if connection.client.exists(keys.meta):
                connection.client.hset(keys.meta, "status", "failed")


def _choose_sources(kept: KeptPlan, folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Where each party's notebook is taken from, and of those from the run's folder what they were at first.

    A copy in the run's folder whose code was changed counts; else the federation folder's, as it is now.
    """
    sources: dict[str, Path] = {}
    for party in kept.plan.parties:
        copy = folder / f"{party.name}.ipynb"
        changed = code_digest(copy) != kept.code.get(party.name)
        own = kept.plan.template.source == "path" and party.source.is_file()
        sources[party.name] = party.source if own and not changed else copy
    return sources, {party: kept.code[party] for party, path in sources.items() if path.parent == folder}


def _announcement(record: Record, earlier: Earlier, sources: dict[str, Path], folder: Path) -> str:
    after = f"after round {earlier.round}" if earlier.round > 0 else "before the first round"
    lines = [f"Resuming {record.name}: it goes on {after}."]
    elsewhere = sorted({str(path.parent) for path in sources.values() if path.parent != folder})
    here = [party for party, path in sources.items() if path.parent == folder]
    if elsewhere:
        lines.append(f"Notebooks and modules are taken from {', '.join(elsewhere)} as they are now.")
    if elsewhere and here:
        lines.append(f"Changed in the run's folder, so taken from there: {', '.join(here)}.")
    return "\n".join(lines) + "\n"
