"""`playground run`, from what was typed to the exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from queue import SimpleQueue

import msgspec

from playground_ext import settings
from playground_ext.errors import TemplateError
from playground_ext.runner.closing import closing_text
from playground_ext.runner.federation import run_federation, server_url, stop_signals
from playground_ext.runner.history import hold
from playground_ext.runner.kernel import PLAIN_KERNEL, installed_kernels
from playground_ext.runner.plan import Party, choose_folder, make_plan, prepare
from playground_ext.runner.report import summary, write_reports, write_running
from playground_ext.runner.templates import find_template
from playground_ext.runner.view import Output

__all__ = ["run_command"]


def run_command(
    name: str,
    *,
    parties: int | None = None,
    assignments: list[str],
    task: str | None = None,
    output: Path | None = None,
    timeout: float | None = None,
    plain: bool = False,
    as_json: bool = False,
) -> int:
    """Run a federation, write its reports, say how it went; the exit code.

    Raises:
        ConfigError: what was typed cannot work: template, parameter, number of parties, task id, output folder.
        ServerError: no server.
        StorageError: the run folder cannot be written.
    """
    plan = make_plan(find_template(name), parties=parties, assignments=assignments, task=task)
    out = Output(sys.stderr if as_json else sys.stdout)
    events: SimpleQueue[tuple[str, object]] = SimpleQueue()
    with stop_signals(events), server_url() as (url, server):
        folder = choose_folder(plan.task, runs=settings.read().runs, output=output)
        kernels: dict[str, str] = {}
        installed = installed_kernels()

        def kernel_for(party: Party, named: str | None, language: str) -> str:
            kernels[party.name] = choose_kernel(party, named, language, installed, plain=plain)
            return kernels[party.name]

        with hold(folder, plan.task):
            values = prepare(plan, folder, kernel_for)
            write_running(plan, folder, server, url if server == "embedded" else None)
            outcome = run_federation(
                plan,
                folder,
                values,
                kernels,
                url=url,
                server=server,
                output=out,
                timeout=timeout,
                events=events,
                warm=not plain,
            )
            problems = write_reports(outcome)
    _say(out, "\n" + closing_text(outcome, problems))
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
