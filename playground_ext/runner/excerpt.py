"""What a screen shows of a failed cell's traceback: the reader's own lines and the exception, whatever its length."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from playground_ext.runner.screen import fit

__all__ = ["excerpt", "fold"]

_OURS = re.compile(r"File \S*playground_ext[/\\]")
_FRAME = re.compile(r"(?:Cell In|File )")
_LIBRARY = re.compile(r"File \S*(?:[/\\](?:site|dist)-packages[/\\]|[/\\]lib[/\\]python3|<frozen )")
_BANNER = re.compile(r"\A(?:-{20,}\n)?(?:\S+ +Traceback \(most recent call last\)\n)")
_POINTER = re.compile(r"-+> *\d+ ")  # IPython's arrow at the line that was executed


@dataclass(frozen=True)
class _Part:
    """A frame with its source lines, or text between and after frames."""

    text: str

    @property
    def is_frame(self) -> bool:
        return _FRAME.match(self.text) is not None

    @property
    def is_library(self) -> bool:
        return _LIBRARY.match(self.text) is not None

    def short(self) -> _Part:
        """The frame's place and the line that was executed."""
        if not self.is_frame:
            return self
        place, *source = self.text.splitlines()
        return _Part("\n".join([place, *(line for line in source if _POINTER.match(line))]))


def excerpt(traceback: str, headline: str, *, lines: int, columns: int | None = None) -> list[str]:
    """At most `lines` lines of an IPython traceback, each at most `columns` wide, that end in the exception.

    Frames of this package are never shown. What does not fit goes in this order: libraries' frames, the source around
    the executed lines, outer frames, the middle of a long message. `headline` is added where the text does not say it.
    """
    parts = [_Part(block) for block in fold(_BANNER.sub("", traceback)).split("\n\n") if block.strip()]
    last = max((number for number, part in enumerate(parts) if part.is_frame), default=-1)
    frames = parts[: last + 1]
    message = _wrapped("\n\n".join(part.text for part in parts[last + 1 :]), columns)
    if not any(headline in line for line in "\n\n".join(part.text for part in parts).splitlines()):
        message += _wrapped(headline, columns)
    least = 4 if frames else 0  # lines that the innermost frame may need, and a gap
    message = _middle_cut(message, max(1, lines - least))
    room = lines - len(message)
    for shortened in (frames, _without_libraries(frames), [part.short() for part in _without_libraries(frames)]):
        shown = _joined(shortened)
        if len(shown) <= room:
            break
    else:
        shown = _innermost(shortened, room)
    return [_cut(line, columns) for line in [*shown, *message]]


def fold(traceback: str) -> str:
    """An IPython traceback without the frames inside this package: the reader's own code is what can be mended."""
    blocks: list[str] = []
    folded = 0
    for block in traceback.split("\n\n"):
        if _OURS.match(block):
            folded += 1
            continue
        if folded:
            blocks.append(f"… {_frames(folded)} inside playground_ext")
            folded = 0
        blocks.append(block)
    return "\n\n".join(blocks)


def _without_libraries(frames: list[_Part]) -> list[_Part]:
    """Of libraries' frames in a row, the place of the innermost one."""
    kept: list[_Part] = []
    hidden = 0
    for number, part in enumerate(frames):
        if not part.is_library:
            kept.append(part)
            continue
        hidden += 1
        if number + 1 == len(frames) or not frames[number + 1].is_library:
            before = f"… {_frames(hidden - 1)} in libraries\n" if hidden > 1 else ""
            kept.append(_Part(before + part.text.splitlines()[0]))
            hidden = 0
    return kept


def _joined(frames: list[_Part]) -> list[str]:
    return [line for part in frames for line in [*part.text.splitlines(), ""]]


def _innermost(frames: list[_Part], room: int) -> list[str]:
    """The last frames that fit below one line for the others."""
    kept: list[_Part] = []
    while frames and len(_joined([frames[-1], *kept])) + 1 <= room:
        kept.insert(0, frames.pop())
    return ["… outer frames", *_joined(kept)] if room > 0 else []


def _middle_cut(message: list[str], room: int) -> list[str]:
    """Details (another party's traceback, set off by bars) are cut before what the error itself says."""
    if len(message) <= room:
        return message
    details = [number for number, line in enumerate(message) if line.startswith("  | ")]
    left = room - (len(message) - len(details))
    if details and left >= 4:
        text = "\n".join(message[details[0] : details[-1] + 1])
        return [*message[: details[0]], *fit(text, left).splitlines(), *message[details[-1] + 1 :]]
    return fit("\n".join(message), room).splitlines() if room >= 4 else message[-room:]


def _wrapped(text: str, columns: int | None) -> list[str]:
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    if columns is None:
        return lines
    return [
        piece
        for line in lines
        for piece in textwrap.wrap(line, columns, drop_whitespace=False, subsequent_indent="    ") or [""]
    ]


def _cut(line: str, columns: int | None) -> str:
    return line.rstrip() if columns is None or len(line) <= columns else line[: columns - 1] + "…"


def _frames(count: int) -> str:
    return f"{count} frame{'' if count == 1 else 's'}"
