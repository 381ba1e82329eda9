"""Draw the kernels' logos: `python kernels/logos.py` writes an SVG and two PNGs for each role.

All three show the same federation, three parties and what joins them; the role's own place in it is solid. One list of
shapes makes both formats. Coordinates are those of a 64 x 64 square.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = 64
SUPERSAMPLING = 16  # the PNGs are drawn this much larger and scaled down, for smooth edges
WHITE = "#ffffff"


@dataclass(frozen=True)
class Square:
    """The rounded background."""

    colour: str
    radius: float = 14


@dataclass(frozen=True)
class Line:
    start: tuple[float, float]
    end: tuple[float, float]
    width: float = 3.5


@dataclass(frozen=True)
class Dot:
    """A party: solid white, or the background's colour with a white rim."""

    centre: tuple[float, float]
    radius: float
    fill: str = WHITE


Shape = Square | Line | Dot

HUB, TOP, LEFT, RIGHT = (32, 35), (32, 13.5), (13.5, 47), (50.5, 47)


def aggregator(colour: str = "#4653c7") -> list[Shape]:
    """The middle, where all updates meet."""
    spokes = [Line(HUB, party) for party in (TOP, LEFT, RIGHT)]
    return [Square(colour), *spokes, *(Dot(party, 6, colour) for party in (TOP, LEFT, RIGHT)), Dot(HUB, 10.5)]


def collaborator(colour: str = "#0b7f75") -> list[Shape]:
    """One of those around the middle."""
    spokes = [Line(HUB, party) for party in (TOP, LEFT, RIGHT)]
    others = [Dot(party, 6, colour) for party in (TOP, RIGHT)]
    return [Square(colour), *spokes, *others, Dot(HUB, 7.5, colour), Dot(LEFT, 9.5)]


def host(colour: str = "#a8550c") -> list[Shape]:
    """The end of a chain of halves: it holds the labels and the last layers."""
    chain = ((13.5, 18), (13.5, 46), (27.5, 32))
    joins = [Line(chain[0], chain[2]), Line(chain[1], chain[2]), Line(chain[2], (48.5, 32))]
    return [Square(colour), *joins, *(Dot(party, 6, colour) for party in chain), Dot((48.5, 32), 9.5)]


ROLES = {"aggregator": aggregator, "collaborator": collaborator, "host": host}


def as_svg(shapes: list[Shape]) -> str:
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIZE}" height="{SIZE}" viewBox="0 0 {SIZE} {SIZE}">']
    for shape in shapes:
        match shape:
            case Square(colour, radius):
                lines.append(f'  <rect width="{SIZE}" height="{SIZE}" rx="{radius}" fill="{colour}"/>')
            case Line((x1, y1), (x2, y2), width):
                lines.append(f'  <path d="M{x1} {y1}L{x2} {y2}" stroke="{WHITE}" stroke-width="{width}"/>')
            case Dot((x, y), radius, fill):
                rim = "" if fill == WHITE else f' stroke="{WHITE}" stroke-width="3.5"'
                lines.append(f'  <circle cx="{x}" cy="{y}" r="{radius}" fill="{fill}"{rim}/>')
    return "\n".join([*lines, "</svg>", ""])


def as_picture(shapes: list[Shape]) -> Image.Image:
    scale = SUPERSAMPLING
    picture = Image.new("RGBA", (SIZE * scale, SIZE * scale))
    draw = ImageDraw.Draw(picture)
    for shape in shapes:
        match shape:
            case Square(colour, radius):
                draw.rounded_rectangle((0, 0, SIZE * scale - 1, SIZE * scale - 1), radius * scale, colour)
            case Line((x1, y1), (x2, y2), width):
                draw.line((x1 * scale, y1 * scale, x2 * scale, y2 * scale), WHITE, round(width * scale))
            case Dot((x, y), radius, fill):
                outer = radius if fill == WHITE else radius + 3.5 / 2  # SVG draws half of a stroke outside
                draw.circle((x * scale, y * scale), outer * scale, WHITE)
                if fill != WHITE:
                    draw.circle((x * scale, y * scale), (radius - 3.5 / 2) * scale, fill)
    return picture


def main() -> None:
    for role, shapes in ROLES.items():
        folder = Path(__file__).parent / role
        (folder / "logo-svg.svg").write_text(as_svg(shapes()), encoding="utf-8")
        picture = as_picture(shapes())
        for edge in (32, 64):
            small = picture.resize((edge, edge), Image.Resampling.LANCZOS)
            small.save(folder / f"logo-{edge}x{edge}.png", optimize=True)


if __name__ == "__main__":
    main()
