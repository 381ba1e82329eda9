"""`playground run`, from what was typed to the exit code; `playground resume` shares its steps."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import msgspec

from playground_ext import settings
from playground_ext.errors import TemplateError
from playground_ext.runner.closing import closing_text
from playground_ext.runner.federation import run_federation, stop_signals
from playground_ext.runner.history import hold
from playground_ext.runner.kernel import PLAIN_KERNEL, installed_kernels
from playground_ext.runner.outcome import Earlier, Outcome
from playground_ext.runner.own_server import server_url
from playground_ext.runner.parameters import Scalar
from playground_ext.runner.plan import Party, Plan, choose_folder, make_plan, prepare
from playground_ext.runner.plan_file import KeptPlan, code_digest, write_plan
from playground_ext.runner.report import summary, write_reports, write_running
from playground_ext.runner.screen import SCREEN
from playground_ext.runner.templates import find_template
from playground_ext.runner.view import Output

__all__ = ["How", "conclude", "execute", "fill", "run_command"]

Events = SimpleQueue[tuple[str, object]]


def run_command(
    name: str,
    *,
    parties: int | None = None,
    assignments: list[str],
    task: str | None = None,
    output: Path | None = None,
    timeout: float | None = None,
    plain: bool = False,
    restarts: int = 0,
    as_json: bool = False,
) -> int:
    """Run a federation, write its reports, say how it went; the exit code.

    Raises:
        ConfigError: what was typed cannot work: template, parameter, number of parties, task id, output folder.
        ServerError: no server.
        StorageError: the run folder cannot be written.
    """
    plan = make_plan(find_template(name), parties=parties, assignments=assignments, task=task)
    how = How(timeout=timeout, plain=plain, restarts=restarts, as_json=as_json)
    events: Events = SimpleQueue()
    with stop_signals(events), server_url(events) as where:
        folder = choose_folder(plan.task, runs=settings.read().runs, output=output)
        with hold(folder, plan.task):
            values, kernels = fill(plan, folder, how)
            outcome, problems = execute(plan, folder, values, kernels, how, where, events)
    return conclude(outcome, problems, as_json=as_json)


@dataclass(frozen=True)
class How:
    """What was typed about the execution of a plan."""

    timeout: float | None = None  # seconds
    plain: bool = False
    restarts: int = 0  # of each party
    as_json: bool = False

    @property
    def output(self) -> Output:
        return Output(sys.stderr if self.as_json else sys.stdout)


def fill(
    plan: Plan,
    folder: Path,
    how: How,
    *,
    sources: Mapping[str, Path] | None = None,
    code: Mapping[str, str] | None = None,
) -> tuple[dict[str, dict[str, Scalar]], dict[str, str]]:
    """Fill a run's folder with notebooks, modules and the plan; what papermill passes, and the kernel, of each party.

    `sources`: of a folder that was filled before, where each party's notebook is. `code`: of those parties whose
    notebook is the run folder's own, what it was when it came there.
    """
    kernels: dict[str, str] = {}
    installed = installed_kernels()

    def kernel_for(party: Party, named: str | None, language: str) -> str:
        kernels[party.name] = choose_kernel(party, named, language, installed, plain=how.plain)
        return kernels[party.name]

    values = prepare(plan, folder, kernel_for, sources=sources)
    digests = {party: code_digest(folder / f"{party}.ipynb") for party in plan.nodes} | dict(code or {})
    write_plan(folder, KeptPlan(plan, how.plain, how.restarts, digests))
    return values, kernels


def execute(
    plan: Plan,
    folder: Path,
    values: dict[str, dict[str, Scalar]],
    kernels: dict[str, str],
    how: How,
    where: tuple[str, str],
    events: Events,
    *,
    earlier: Earlier | None = None,
) -> tuple[Outcome, list[str]]:
    """Run all notebooks of a folder that is filled, and write the reports; which of these could not be written.

    `where`: URL of the server, and what to call it.
    """
    url, server = where
    write_running(plan, folder, server, url if server == "embedded" else None, earlier=earlier)
    outcome = run_federation(
        plan,
        folder,
        values,
        kernels,
        url=url,
        server=server,
        output=how.output,
        timeout=how.timeout,
        events=events,
        warm=not how.plain,
        restarts=how.restarts,
        earlier=earlier,
    )
    return outcome, write_reports(outcome)


def conclude(outcome: Outcome, problems: list[str], *, as_json: bool) -> int:
    """Say how it went; the exit code."""
    out = How(as_json=as_json).output
    size = out.size
    lines, columns = (SCREEN, None) if size is None else (max(SCREEN, size.lines) - 1, size.columns)  # less the prompt
    _say(out, "\n" + closing_text(outcome, problems, lines=lines, columns=columns))
    if as_json:
        _say(Output(sys.stdout), msgspec.json.format(msgspec.json.encode(summary(outcome)), indent=2).decode())
    return outcome.exit_code or (1 if problems else 0)


def _say(output: Output, text: str) -> None:
    output.write(text + "\n")
    output.flush()


def choose_kernel(party: Party, named: str | None, language: str, installed: set[str], *, plain: bool) -> str:
    """The role's kernel where it is installed, else the one the notebook names, else Python's own.

    Raises:
        TemplateError: the notebook is in another language, and its kernel is not installed.
    """
    if language != "python":
        if named in installed:
            return str(named)
        raise TemplateError(
            f"{party.source.name} needs the kernel {named!r} for {language}, which is not installed",
            next_step="install it, or choose another kernel in Jupyter and save the notebook",
        )
    wanted = [] if plain else [party.kernel, named]
    return next((kernel for kernel in wanted if kernel in installed and kernel is not None), PLAIN_KERNEL)
