"""`playground run psi --protocol rsa`: every parameter of a template as an option of the command that runs it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from playground_ext.errors import ParameterError, TemplateError
from playground_ext.runner.screen import columns, errors_on_one_screen

if TYPE_CHECKING:
    from playground_ext.runner.parameters import Parameter
    from playground_ext.runner.templates import Template

__all__ = ["CommandWithTemplate", "as_assignments"]

_HELP = {"--help", "-h"}


class CommandWithTemplate(TyperCommand):
    """Its first argument names a template, whose parameters it takes as options beside its own.

    They become `-p name=value` before the command's own options are read; its own come first where names are equal.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # the shell completes
            with errors_on_one_screen():
                args = self._with_assignments(args)
                ctx.meta[__name__] = self._template(args) if _HELP & set(args) else None
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        template = ctx.meta.get(__name__)
        if template is not None:
            _print_parameters(template, hidden=self._own())

    def _with_assignments(self, args: list[str]) -> list[str]:
        own = self._own()
        unknown = [word for word in _options(args, own) if word.partition("=")[0] not in own]
        if not unknown:
            return args
        template = self._template(args)
        if template is None:
            return args  # the command says itself what is wrong
        return as_assignments(args, template.parameters, own=own, owner=template.name)

    def _template(self, args: list[str]) -> Template | None:
        """The template that the words name; None if none of them can be a name.

        Raises:
            TemplateError: there is no such template.
        """
        from playground_ext.runner.templates import find_template

        words = _words(args, self._own())
        problem: TemplateError | None = None
        for word in words:  # the value of an option that is not known yet looks like a name
            try:
                return find_template(word)
            except TemplateError as error:
                problem = problem or error
        if problem is not None:
            raise problem
        return None

    def _own(self) -> dict[str, bool]:
        """The command's own options, and whether a value follows."""
        own = dict.fromkeys(_HELP, False)
        for parameter in self.params:
            if parameter.param_type_name == "option":
                names = [*parameter.opts, *parameter.secondary_opts]
                own |= dict.fromkeys(names, not getattr(parameter, "is_flag", False))
        return own


def as_assignments(
    args: Sequence[str], parameters: Mapping[str, Parameter], *, own: Mapping[str, bool], owner: str
) -> list[str]:
    """`--max-rounds 3` as `-p max_rounds=3`, `--share-result` and `--no-share-result` as true and false.

    `own`: options that are left alone, and whether a value follows them. `owner`: the template's name, for errors.

    Raises:
        ParameterError: an option that is neither; names those there are.
    """
    found: list[str] = []
    rest = iter(args)
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--" or not _is_option(word) or _own_name(word, own) is not None:
            found.append(word)
            if word == "--":
                return [*found, *rest]
            if own.get(word):
                found += [value for value in [next(rest, None)] if value is not None]
            continue
        key = name.removeprefix("--").replace("-", "_")
        switched_off = key.removeprefix("no_")
        if key in parameters and parameters[key].kind == "boolean" and not equals:
            value = "true"
        elif switched_off != key and switched_off in parameters and parameters[switched_off].kind == "boolean":
            key, value = switched_off, "false"
        elif key not in parameters or not name.startswith("--"):
            raise _unknown(name, parameters, own, owner)
        elif not equals:
            following = next(rest, None)
            if following is None:
                raise ParameterError(f"{name} needs a value", next_step=f"{key} is {parameters[key].allowed}")
            value = following
        found += ["-p", f"{key}={value}"]
    return found


def _is_option(word: str) -> bool:
    return len(word) > 1 and word.startswith("-")


def _own_name(word: str, own: Mapping[str, bool]) -> str | None:
    """Which of the own options it is: `--task=x`, `-p`, also with its value behind, as in `-n4`."""
    name = word.partition("=")[0]
    if name in own:
        return name
    return word[:2] if not word.startswith("--") and own.get(word[:2]) else None


def _options(args: Sequence[str], own: Mapping[str, bool]) -> list[str]:
    """What looks like an option and is not the value of an own one, up to `--`."""
    return [word for word in _split(args, own) if _is_option(word) and _own_name(word, own) is None]


def _words(args: Sequence[str], own: Mapping[str, bool]) -> list[str]:
    return [word for word in _split(args, own) if not _is_option(word)]


def _split(args: Sequence[str], own: Mapping[str, bool]) -> list[str]:
    """All words but the values of own options."""
    kept: list[str] = []
    rest = iter(args)
    for word in rest:
        if word == "--":
            return [*kept, *rest]
        kept.append(word)
        if own.get(word):
            next(rest, None)
    return kept


def _rows(parameters: Mapping[str, Parameter], hidden: Mapping[str, bool]) -> list[list[str]]:
    rows = []
    for name, one in parameters.items():
        option = f"--{name.replace('_', '-')}"
        shown = f"{option}/--no-{option[2:]}" if one.kind == "boolean" else option
        unit = f" {one.unit}" if one.unit else ""
        default = "(empty)" if one.default == "" else f"{one.default}{unit}"
        rows.append([f"-p {name}=…" if option in hidden else shown, one.allowed, f"default {default}", one.help])
    return rows


def _unknown(name: str, parameters: Mapping[str, Parameter], own: Mapping[str, bool], owner: str) -> ParameterError:
    options = [f"--{key.replace('_', '-')}" for key in parameters]
    close = difflib.get_close_matches(name, [*options, *own], n=1)
    lines = columns(_rows(parameters, own))
    return ParameterError(
        f"{owner} has no option {name}",
        next_step=f"did you mean {close[0]}?" if close else "`playground run --help` lists the command's own options",
        details=f"options of {owner}:\n" + "\n".join(lines) if lines else f"{owner} has no parameters",
    )


def _print_parameters(template: Template, *, hidden: Mapping[str, bool]) -> None:
    """As the command's own options are shown."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for option, allowed, default, text in _rows(template.parameters, hidden):
        table.add_row(Text(option, "bold cyan"), Text(allowed, "bold yellow"), Text(f"{text} [{default}]".strip()))
    shown = table if template.parameters else "It has no parameters."
    console = Console(file=sys.stdout, highlight=False)
    console.print(Panel(shown, title=f"Parameters of {template.name}", title_align="left", border_style="dim"))
