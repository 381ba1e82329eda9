"""How lines look: nothing they contain becomes markup or commands, and what is left out is said."""

from __future__ import annotations

import re

from playground_ext.logs.record import Batch, LogRecord, encode_batch
from playground_ext.logs.render import LIVE_LINES, SAVED_BYTES, SAVED_LINES, Lines, view

PARTIES = ("aggregator", "collaborator-1")


def batch(first: int, texts: list[str], *, party: str = "aggregator", level: str = "INFO") -> Batch:
    records = [LogRecord(0.0, party, level, 2, first + index, "log", text) for index, text in enumerate(texts)]
    errors = len(records) if level == "ERROR" else 0
    return Batch(party, 1, first, first + len(texts) - 1, errors, encode_batch(records))


def test_a_row_has_party_round_level_and_text() -> None:
    lines = Lines()
    lines.add(batch(1, ["loss 0.31"]))
    lines.add(batch(1, ["slow"], party="collaborator-1", level="WARNING"))
    first, second = view(lines, PARTIES, final=True)["text/plain"].split("\n")

    assert first[8:] == "  aggregator      round 2   loss 0.31"
    assert second[8:] == "  collaborator-1  round 2   WARNING slow"


def test_nothing_in_a_line_becomes_markup_or_a_terminal_command() -> None:
    lines = Lines()
    lines.add(batch(1, ["<script>alert(1)</script> & \x1b[2J\x1b]0;title\x07 \u202egnp.exe \x08\x00 tab\there"]))
    bundle = view(lines, PARTIES, final=True, status="<b>\x1b[31m")

    assert "<script" not in bundle["text/html"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; " in bundle["text/html"]
    assert "<i>&lt;b&gt;</i>" in bundle["text/html"]
    for hidden in "\x1b\x07\u202e\x08\x00":
        assert hidden not in bundle["text/plain"] + bundle["text/html"]
    assert "tab\there" in bundle["text/plain"]


def test_the_name_of_a_party_is_escaped_too() -> None:
    lines = Lines()
    lines.add(batch(1, ["x"], party="<i>"))

    assert "<i>" not in view(lines, PARTIES, final=True)["text/html"]


def test_the_live_view_has_the_last_lines_and_says_how_many_came_before() -> None:
    lines = Lines()
    for first in range(1, 101, 10):
        lines.add(batch(first, [f"line {number}." for number in range(first, first + 10)]))
    plain = view(lines, PARTIES, final=False, status="training")["text/plain"].split("\n")

    assert plain[0] == "(70 earlier lines not shown)"
    assert [row.rsplit(" ", 1)[-1] for row in plain[1:-1]] == [f"{number}." for number in range(71, 101)]
    assert len(plain) == 1 + LIVE_LINES + 1
    assert plain[-1] == "> training"


def test_the_saved_view_has_everything_folded_up_to_the_last_lines() -> None:
    lines = Lines()
    lines.add(batch(1, [f"line {number}." for number in range(1, 101)]))
    bundle = view(lines, PARTIES, final=True)

    assert all(f"line {number}." in bundle["text/html"] for number in range(1, 101))
    assert "<summary>70 earlier lines</summary>" in bundle["text/html"]
    assert len(bundle["text/plain"].split("\n")) == 100


def test_beyond_the_saved_lines_errors_are_kept_and_the_rest_is_counted() -> None:
    lines = Lines()
    lines.add(batch(1, ["early failure"], level="ERROR"))
    for first in range(2, 8002, 1000):
        lines.add(batch(first, ["x"] * 1000))
    bundle = view(lines, PARTIES, final=True, task="fed_avg")
    plain = bundle["text/plain"].split("\n")

    # 8,001 lines: 5,000 at the end and the error are saved
    assert plain[0] == "(3000 earlier lines not shown: playground logs fed_avg)"
    assert "ERROR early failure" in plain[1]
    assert len(plain) == 2 + SAVED_LINES
    assert "early failure" in bundle["text/html"].split("<details>")[0]


def test_an_error_is_not_shown_twice_when_it_is_within_the_saved_lines() -> None:
    lines = Lines()
    lines.add(batch(1, ["x"] * 1500))
    lines.add(batch(1501, ["failure"], level="ERROR"))
    for first in range(1502, 6502, 1000):
        lines.add(batch(first, ["x"] * 1000))
    plain = view(lines, PARTIES, final=True)["text/plain"]

    assert plain.count("failure") == 1


def test_a_cell_is_saved_within_its_bytes_and_keeps_its_errors() -> None:
    lines = Lines()
    lines.add(batch(1, ["failure"], level="ERROR"))
    for first in range(2, 1002, 100):
        lines.add(batch(first, ["wide " * 300] * 100))
    bundle = view(lines, PARTIES, final=True)

    size = sum(len(text.encode()) for text in bundle.values())
    assert SAVED_BYTES * 0.9 < size < SAVED_BYTES * 1.05
    assert "failure" in bundle["text/plain"]
    assert "earlier lines not shown" in bundle["text/plain"]


def test_a_huge_line_is_cut_and_says_so() -> None:
    lines = Lines()
    lines.add(batch(1, ["y" * 50_000]))

    assert view(lines, PARTIES, final=True)["text/plain"].endswith("yyy … (48000 more characters)")


def test_a_clock_that_says_nonsense_breaks_nothing() -> None:
    lines = Lines()
    records = [LogRecord(1e300, "aggregator", "INFO", None, 1, "log", "late")]
    lines.add(Batch("aggregator", 1, 1, 1, 0, encode_batch(records)))

    assert view(lines, PARTIES, final=True)["text/plain"] == "--:--:--  aggregator      late"


def test_a_batch_that_cannot_be_read_breaks_nothing() -> None:
    lines = Lines()
    lines.add(Batch("aggregator", 1, 1, 100, 3, b"nonsense"))
    lines.add(batch(1, ["fine"], party="collaborator-1"))

    assert "fine" in view(lines, PARTIES, final=False)["text/plain"]
    assert "fine" in view(lines, PARTIES, final=True)["text/plain"]


def test_twelve_parties_have_twelve_colours_that_read_on_white_and_on_black() -> None:
    parties = [f"party-{number}" for number in range(12)]
    lines = Lines()
    for party in parties:
        lines.add(batch(1, ["here"], party=party))
    colours = re.findall(r'style="color:#(\w{6})"', view(lines, parties, final=False)["text/html"])

    assert len(set(colours)) == 12
    for colour in colours:
        luminance = sum(
            weight * _linear(int(colour[at : at + 2], 16) / 255)
            for weight, at in ((0.2126, 0), (0.7152, 2), (0.0722, 4))
        )
        assert 1.05 / (luminance + 0.05) > 4.4  # contrast on white, as WCAG 2 defines it; 4.58 is the most on both
        assert (luminance + 0.05) / 0.05 > 4.4  # on black


def _linear(value: float) -> float:
    """A channel of sRGB as an amount of light, 0 to 1."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
