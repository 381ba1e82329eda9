"""The command `playground`. Imports nothing heavy until a command needs it: `--help` has to answer at once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from playground_ext.runner.completion import complete_template
from playground_ext.runner.everyday import add_commands
from playground_ext.runner.screen import errors_on_one_screen as _errors_on_one_screen
from playground_ext.runner.template_options import CommandWithTemplate

__all__ = ["app"]

app = typer.Typer(
    name="playground",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Federated learning in notebooks: one notebook and one kernel for each party, all at once.

Start with [bold]playground run fed_avg[/bold]: an aggregator and two collaborators train one model on handwritten
digits, none of them showing its own to the others.

[dim]playground run fed_avg --parties 4 -p max_rounds=3[/dim]   one aggregator, three collaborators
[dim]playground new fed_avg my_task[/dim]                       a copy to put your own model and data into
[dim]playground run my_task[/dim]                               run the copy
[dim]playground lab[/dim]                                       the same in JupyterLab, and what every party does
[dim]playground templates[/dim]                                 what can be run, with all parameters
[dim]playground resume my_task-20261122-101500[/dim]            go on with a run that failed or was stopped
[dim]playground ls[/dim]                                        what was run; show and logs say more
[dim]playground doctor[/dim]                                    is everything there?
""",
)


class Kernel(StrEnum):
    """How the notebooks' kernels start."""

    warm = "warm"
    plain = "plain"


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"playground {version('playground-ext')}")
        except PackageNotFoundError:
            typer.echo("playground (not installed)")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command(cls=CommandWithTemplate)
def run(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME_OR_PATH", help="A template, or a folder with notebooks.", autocompletion=complete_template
        ),
    ],
    parties: Annotated[
        int | None,
        typer.Option(
            "--parties", "-n", min=1, help="Notebooks all together: 4 means 1 aggregator and 3 collaborators."
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            metavar="KEY=VALUE",
            help="A parameter of the template. May be given again. Every parameter is an option too.",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="ID", help="Name of the task. Default: template and time.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="The run's folder. Default: runs/ID.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=1, metavar="SECONDS", help="Stop the whole run after so long.")
    ] = None,
    kernel: Annotated[
        Kernel,
        typer.Option(
            help="warm: forked from a process that has torch imported; plain: a new Python for every notebook."
        ),
    ] = Kernel.warm,
    restart_failed: Annotated[
        int,
        typer.Option(
            "--restart-failed",
            min=0,
            metavar="N",
            help="Start a party again, up to N times, when its kernel dies or its notebook fails.",
        ),
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON; everything else goes to stderr.")
    ] = False,
) -> None:
    """Run all notebooks of a federation at the same time.

    Every party gets its own kernel. They talk through a private server that is started for this run, or through the one
    that PLAYGROUND_REDIS_URL names. The executed notebooks, the log, metrics and the model are kept in runs/ID.

    A template's parameters are options as well: [bold]playground run psi --help[/bold] lists those of psi.

    With --restart-failed the others wait for a party that is started again; it goes on from its checkpoint, in a new
    kernel, and its failed notebook is kept as runs/ID/attempts/PARTY.attempt-1.ipynb. A run that failed or was stopped
    goes on with [bold]playground resume ID[/bold].

    Ctrl-C stops all kernels and saves the notebooks. Exit code: 0 all went well, 1 a party failed, 2 the command was
    wrong, 130 interrupted.

    [dim]playground run fed_avg[/dim]
    [dim]playground run fed_avg --parties 4 --max-rounds 3 -p seed=7[/dim]
    [dim]playground run ./my_task --output results --timeout 600 --json > summary.json[/dim]
    """
    with _errors_on_one_screen():
        from playground_ext.runner.command import run_command

        code = run_command(
            name,
            parties=parties,
            assignments=assignments or [],
            task=task,
            output=output,
            timeout=timeout,
            plain=kernel is Kernel.plain,
            restarts=restart_failed,
            as_json=as_json,
        )
    raise typer.Exit(code)


@app.command()
def new(
    template: Annotated[
        str,
        typer.Argument(metavar="TEMPLATE", help="A template, or a folder to copy.", autocompletion=complete_template),
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to make.")],
) -> None:
    """Copy a template into a folder of your own.

    [dim]playground new fed_avg my_task[/dim]
    [dim]playground run my_task[/dim]
    """
    with _errors_on_one_screen():
        from playground_ext.runner.kernel import installed_kernels
        from playground_ext.runner.plan import copy_template
        from playground_ext.runner.templates import find_template

        made = copy_template(find_template(template), folder, installed_kernels())
        typer.echo(f"{folder} holds your copy of {template}:")
        for name, role in made.roles.items():
            typer.echo(f"  {role.notebook:<24} run by {role.count} {name}{'s' if role.count > 1 else ''}")
        typer.echo(f"\nEdit the notebooks, then: playground run {folder}")


@app.command()
def templates(
    check: Annotated[
        Path | None, typer.Option("--check", metavar="PATH", help="Say what is wrong with a template folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List what can be run: parties and parameters of every template.

    Looked for in a checkout's templates/, in the installed ones, in the folders that PLAYGROUND_TEMPLATES names, and in
    packages with the entry point playground_ext.templates.

    [dim]playground templates[/dim]
    [dim]playground templates --check ./my_template[/dim]
    """
    with _errors_on_one_screen():
        from playground_ext.runner.listing import check_text, listing_text

        code, text = check_text(check, as_json=as_json) if check is not None else (0, listing_text(as_json=as_json))
        typer.echo(text)
    raise typer.Exit(code)


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": ["-h", "--help"],
    }
)
def lab(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(min=1, max=65535, metavar="N", help="Default: 8888, or the next.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
) -> None:
    """Open JupyterLab in this folder, with a tile for every template and a panel that shows every party.

    It listens on 127.0.0.1 only, and asks for a token that the printed address carries. Runs that were started in the
    background go on when it ends. Anything else that is typed is passed on to JupyterLab.

    [dim]playground lab[/dim]
    [dim]playground lab --port 9000 --no-browser[/dim]
    [dim]playground lab --ServerApp.base_url=/user/alice/[/dim]
    """
    with _errors_on_one_screen():
        from playground_ext.runner.lab_command import lab_command

        lab_command(context.args, port=port, browser=browser, say=lambda text: typer.echo(text, err=True))


kernels = typer.Typer(invoke_without_command=True)
app.add_typer(kernels, name="kernels")


@kernels.callback()
def list_kernels(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """List the warm processes (zygotes) that fork party kernels, their kernels, and the memory they take.

    The first party kernel starts a zygote; it leaves after ten minutes without kernels, or when packages change.
    PLAYGROUND_WARM=0 does without.

    [dim]playground kernels[/dim]
    [dim]playground kernels install --user[/dim]
    [dim]playground kernels stop[/dim]
    """
    if context.invoked_subcommand is None:
        with _errors_on_one_screen():
            from playground_ext.kernel.listing import listing_text, zygotes

            typer.echo(listing_text(zygotes(), as_json=as_json))


@kernels.command("install")
def install_kernels(
    user: Annotated[bool, typer.Option("--user", help="For all Jupyters of this user.")] = False,
    prefix: Annotated[Path | None, typer.Option(metavar="DIR", help="Below DIR/share/jupyter.")] = None,
    warm: Annotated[
        bool | None,
        typer.Option(
            help="Fork the kernels. Only a Jupyter in whose environment this package is installed shows these."
        ),
    ] = None,
) -> None:
    """Write the kernelspecs of the roles, with this Python's absolute path. Default: into this environment.

    [dim]playground kernels install --user[/dim]
    [dim]playground kernels install --prefix /opt/jupyterhub[/dim]
    """
    with _errors_on_one_screen():
        from playground_ext.kernel.specs import install

        for folder in install(prefix=prefix, user=user, warm=warm):
            typer.echo(str(folder))


@kernels.command("stop")
def stop_kernels() -> None:
    """Let the zygotes leave. Kernels that run are kept; each zygote leaves with its last one."""
    with _errors_on_one_screen():
        from playground_ext.kernel.listing import listing_text, stop_zygotes

        typer.echo(listing_text(stop_zygotes()))


add_commands(app)
