"""The commands of every day: go on with a run, what was run, what it said, the server, the data, is all well."""

from __future__ import annotations

from typing import Annotated

import typer

from playground_ext.runner.completion import complete_party, complete_task
from playground_ext.runner.screen import errors_on_one_screen

__all__ = ["add_commands"]

_AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
_Task = Annotated[str, typer.Argument(metavar="TASK", help="From `playground ls`.", autocompletion=complete_task)]

_data = typer.Typer(help="Which digits notebooks get; `data mnist` fetches all of them.")
_server = typer.Typer(no_args_is_help=True, help="The server that the notebooks of this folder share.")


def add_commands(app: typer.Typer) -> None:
    """Add them to the command line."""
    for command in (resume, replay, ls, show, logs, clean, doctor):
        app.command()(command)
    app.add_typer(_server, name="server")
    app.add_typer(_data, name="data")


def resume(
    task: _Task,
    restart_failed: Annotated[
        int | None,
        typer.Option(
            "--restart-failed", min=0, metavar="N", help="As for `playground run`. Default: as the run was started."
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=1, metavar="SECONDS", help="Stop the whole run after so long.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON; everything else goes to stderr.")
    ] = False,
) -> None:
    """Go on with a run of `playground run` that failed, was stopped or was killed, from its checkpoints.

    All notebooks are executed again from the top, in the run's own folder and with the same parameters; the rounds go
    on after the last one that every party has on its disk. The final model is that of a run that was never stopped.

    To mend something first, edit it where the run was made from: your federation folder. Its notebooks and modules are
    taken as they are now, with two exceptions: a notebook whose code you changed in the run's folder counts there, and
    of each module the newer of the two files. A run of a template has only the copies in its run's folder: edit those.

    [dim]playground resume my_task-20261122-101500[/dim]
    [dim]playground resume runs/my_task-20261122-101500 --restart-failed 2[/dim]
    """
    with errors_on_one_screen():
        from playground_ext.runner.resume import resume_command

        code = resume_command(task, timeout=timeout, restarts=restart_failed, as_json=as_json)
    raise typer.Exit(code)


def replay(
    task: _Task,
    party: Annotated[str, typer.Option("--party", metavar="P", help="Whose round.", autocompletion=complete_party)],
    round: Annotated[
        int | None, typer.Option("--round", min=1, metavar="R", help="Which round; default: the last one kept.")
    ] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Run the notebook here and print the comparison.")] = False,
) -> None:
    """Make a notebook in which one party's round runs again, from its recorded messages alone.

    Nobody else has to be alive, breakpoints work, and what the round computes is compared with what the party sent
    then. The last round is kept; with keep_rounds="all" in the scheduler's class, or PLAYGROUND_KEEP_ROUNDS=all, every
    round is.

    [dim]playground replay my_task-20261122-101500 --party collaborator-1 --round 3[/dim]
    [dim]playground replay fed_avg --party aggregator --execute[/dim]
    """
    with errors_on_one_screen():
        from playground_ext.runner.replay import replay_command

        code = replay_command(task, party=party, round=round, execute=execute)
    raise typer.Exit(code)


def ls(as_json: _AsJson = False) -> None:
    """List what was run, and what runs now: by `playground run`, or by hand.

    Looked for in runs/ (PLAYGROUND_RUNS) and among the parties' own folders (PLAYGROUND_HOME).
    """
    with errors_on_one_screen():
        from playground_ext.runner.show import listing_text

        typer.echo(listing_text(as_json=as_json))


def show(task: _Task, as_json: _AsJson = False) -> None:
    """Say what came of a run: parties, rounds, metrics, and where bytes and seconds went.

    [dim]playground show fed_avg-20261122-101500[/dim]
    [dim]playground show runs/fed_avg-20261122-101500 --json[/dim]
    """
    with errors_on_one_screen():
        from playground_ext.runner.show import show_text

        typer.echo(show_text(task, as_json=as_json))


def logs(
    task: _Task,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until nobody runs any more; Ctrl-C ends it.")
    ] = False,
    parties: Annotated[
        list[str] | None,
        typer.Option(
            "--party", metavar="P", help="Only this party. May be given again.", autocompletion=complete_party
        ),
    ] = None,
    level: Annotated[
        str, typer.Option("--level", metavar="L", help="This level and above: DEBUG, INFO, WARNING, ERROR.")
    ] = "DEBUG",
    round: Annotated[int | None, typer.Option("--round", metavar="R", help="Only this round.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print everything that all parties logged, in order of time.

    [dim]playground logs fed_avg-20261122-101500 --party collaborator-1 --round 3[/dim]
    [dim]playground logs my_task --follow --level WARNING[/dim]
    """
    with errors_on_one_screen():
        from playground_ext.runner.reading import logs_command

        logs_command(task, parties=parties or [], level=level, round=round, follow=follow, as_json=as_json)


def clean(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TASK]...", help="Only these, however old.", autocompletion=complete_task),
    ] = None,
    days: Annotated[
        float, typer.Option("--older-than", min=0, metavar="DAYS", help="Runs that began more than so long ago.")
    ] = 7.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove what old runs left, after saying how much that is. What is running is never touched.

    [dim]playground clean[/dim]                   all that began more than 7 days ago
    [dim]playground clean --older-than 0 -y[/dim] everything that has ended, without asking
    """
    with errors_on_one_screen():
        from playground_ext.runner.cleaning import choice_text, choose, remove
        from playground_ext.runner.screen import size_text

        choice = choose(names or [], days=days)
        typer.echo(choice_text(choice, days=days))
        if not choice.chosen:
            return
        count = len(choice.chosen)
        question = f"Remove {'this run' if count == 1 else f'these {count} runs'} ({size_text(choice.size)})?"
        if yes or typer.confirm(question):
            typer.echo(f"{size_text(remove(choice, typer.echo))} freed.")
        else:
            typer.echo("Nothing was removed.")


def doctor(as_json: _AsJson = False) -> None:
    """Look whether everything is there that notebooks need, and say what to do about what is not.

    Exit code: 1 if something is a problem.
    """
    with errors_on_one_screen():
        from playground_ext.runner.doctor import examine, findings_text

        code, text = findings_text(list(examine()), as_json=as_json)
        typer.echo(text)
    raise typer.Exit(code)


@_server.command("start")
def start_server(as_json: _AsJson = False) -> None:
    """Start it where none runs. The first notebook does the same."""
    with errors_on_one_screen():
        from playground_ext.runner.server_command import start_text

        typer.echo(start_text(as_json=as_json))


@_server.command("stop")
def stop_server() -> None:
    """Stop it. Notebooks that are using it lose their run."""
    with errors_on_one_screen():
        from playground_ext.runner.server_command import stop_text

        typer.echo(stop_text())


@_server.command("status")
def server_status(as_json: _AsJson = False) -> None:
    """Say whether one runs and who uses it. Exit code: 1 if none does."""
    with errors_on_one_screen():
        from playground_ext.runner.server_command import status_text

        code, text = status_text(as_json=as_json)
        typer.echo(text)
    raise typer.Exit(code)


@_data.callback(invoke_without_command=True)
def data(context: typer.Context, as_json: _AsJson = False) -> None:
    """Say which digits notebooks would get now; `playground data mnist` fetches all of them."""
    if context.invoked_subcommand is None:
        with errors_on_one_screen():
            from playground_ext.runner.data_command import data_text

            typer.echo(data_text(as_json=as_json))


@_data.command("mnist")
def fetch_mnist() -> None:
    """Fetch the full MNIST (11 MB) into your cache, from torchvision's mirrors, with checksums."""
    with errors_on_one_screen():
        from playground_ext.runner.data_command import download_mnist

        folder, fetched = download_mnist()
        where = folder / "MNIST" / "raw"
        typer.echo(f"The full set is in {where} now." if fetched else f"The full set is there already, in {where}.")
