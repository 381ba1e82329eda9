"""How commands end: with an exit code, and with errors that fit one screen."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from playground_ext.errors import ConfigError, PlaygroundError

__all__ = ["SCREEN", "columns", "errors_on_one_screen", "fit", "size_text", "time_text"]

SCREEN = 24  # lines of an error that are shown
_DAY = 86_400.0  # seconds


@contextmanager
def errors_on_one_screen() -> Iterator[None]:
    """Our errors say all there is to say: no Python traceback. Exit code 2 for what the user can type differently."""
    try:
        yield
    except PlaygroundError as error:
        typer.echo(f"Error: {fit(str(error))}", err=True)
        raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except OSError as error:
        if error.errno == errno.EPIPE:  # `playground logs … | head`: nobody reads on
            raise
        where = f": {error.filename}" if error.filename else ""
        typer.echo(f"Error: {error.strerror or error}{where}", err=True)
        raise typer.Exit(1) from None


def fit(text: str, lines: int = SCREEN) -> str:
    """The beginning and, mostly, the end of a long text: of a traceback the end says what went wrong."""
    all_lines = text.splitlines()
    if len(all_lines) <= lines:
        return text
    first = lines // 3
    last = lines - first - 1
    return "\n".join([*all_lines[:first], f"  … {len(all_lines) - first - last} lines …", *all_lines[-last:]])


def columns(rows: list[list[str]], *, right: frozenset[int] = frozenset(), indent: str = "  ") -> list[str]:
    """Rows as lines with aligned columns; those in `right` end at the same place instead of beginning there."""
    if not rows:
        return []
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        (
            indent
            + "  ".join(
                cell.rjust(width) if index in right else cell.ljust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        ).rstrip()
        for row in rows
    ]


def size_text(size: float) -> str:
    """`87.4 kB`, `1.2 MB`."""
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000 or unit == "GB":
            break
    return f"{size:.1f} {unit}"


def time_text(seconds: float) -> str:
    """`3.2 s`, `12 min`, `5 h`, `8 days`."""
    for limit, unit, name in ((60.0, 1.0, "s"), (3600.0, 60.0, "min"), (_DAY, 3600.0, "h")):
        if seconds < limit:
            return f"{seconds / unit:.{1 if name == 's' else 0}f} {name}"
    days = int(seconds / _DAY)
    return f"{days} day{'s' if days != 1 else ''}"
