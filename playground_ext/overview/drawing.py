"""A snapshot as text, as a table, and as a picture: what stays in a saved notebook."""

from __future__ import annotations

import base64
import io
from html import escape

from playground_ext.logs.render import clean
from playground_ext.overview.snapshot import Snapshot
from playground_ext.runner.screen import columns

__all__ = ["html", "picture", "text"]

_MOST_CURVES = 4  # metrics that are drawn side by side


def text(snapshot: Snapshot) -> str:
    """For terminals, and for readers of a notebook that show no HTML."""
    rows = [["party", "role", "state", "round"]]
    rows += [[clean(p.party), clean(p.role), clean(p.state), _number(p.round)] for p in snapshot.parties]
    lines = [f"task {snapshot.task}: {snapshot.status}", *columns(rows, right=frozenset({3}))]
    for name in snapshot.names:
        for party, values in snapshot.curves(name).items():
            number, value = list(values.items())[-1]
            lines.append(f"  {clean(name)} of {clean(party)}: {value:.4g} after round {number}")
    return "\n".join(lines)


def html(snapshot: Snapshot, *, place: str | None = None) -> str:
    """A table and a picture, without scripts: it reads untrusted and on code hosts.

    `place`: class of the element around them, for a widget that puts itself there.
    """
    titles = "".join(f'<th style="text-align:left">{title}</th>' for title in ("party", "role", "state", "round"))
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{escape(clean(cell))}</td>" for cell in (p.party, p.role, p.state, _number(p.round)))
        + "</tr>"
        for p in snapshot.parties
    )
    head = f"<div><b>{escape(snapshot.task)}</b>: {escape(snapshot.status)}</div>"
    image = picture(snapshot)
    shown = ""
    if image is not None:
        data = base64.b64encode(image).decode()
        shown = f'<img alt="{escape(", ".join(snapshot.names))} by round" src="data:image/png;base64,{data}">'
    view = f"{head}<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>{shown}"
    return view if place is None else f'<div class="{escape(place)}"><div>{view}</div></div>'


def picture(snapshot: Snapshot) -> bytes | None:
    """The curves of the first metrics as PNG; None if there are no numbers yet."""
    names = snapshot.names[:_MOST_CURVES]
    if not names:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    colours = {row.party: f"C{index}" for index, row in enumerate(snapshot.parties)}  # the same in every picture
    figure = Figure(figsize=(3.6 * len(names), 2.6), layout="constrained", dpi=90)
    FigureCanvasAgg(figure)  # not pyplot: nobody else's figures and backend are touched
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for party, values in sorted(snapshot.curves(name).items()):
            axis.plot(
                list(values), list(values.values()), colours.get(party, "C9"), marker="o", markersize=3, label=party
            )
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("round", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend(fontsize=7, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _number(value: int | None) -> str:
    return "" if value is None else str(value)
