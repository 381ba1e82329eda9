"""Everything a party says becomes a line, and everything is given back."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from playground_ext.logs.capture import Capture, logger
from playground_ext.logs.record import Entry


class Captured:
    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.entries: list[Entry] = []

    def listen(self) -> None:
        """In the test itself: pytest exchanges the streams after setting up."""
        self.capture.start(self.entries.append)

    @property
    def texts(self) -> list[str]:
        return [entry[4] for entry in self.entries]


@pytest.fixture
def captured() -> Iterator[Captured]:
    capture = Capture(level="INFO")
    captured = Captured(capture)
    yield captured
    capture.stop()


def test_the_logger_says_level_round_and_text(captured: Captured) -> None:
    captured.listen()
    captured.capture.round = 3
    logger.info("loss %.2f", 0.314)
    logger.warning("slow")
    logger.debug("below the level")

    assert [entry[1:] for entry in captured.entries] == [
        ("INFO", 3, "log", "loss 0.31"),
        ("WARNING", 3, "log", "slow"),
    ]


def test_a_logged_exception_carries_its_traceback(captured: Captured) -> None:
    captured.listen()
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logger.exception("it failed")

    text = captured.texts[0]
    assert text.startswith("it failed\nTraceback")
    assert text.endswith("ZeroDivisionError: division by zero")


def test_a_wrong_format_is_reported_as_logging_does_and_does_not_stop_anything(
    captured: Captured, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    captured.listen()
    monkeypatch.setattr(logger, "propagate", False)  # pytest's own handler raises
    logger.info("%d", "x")

    assert "Logging error" in capsys.readouterr().err


def test_a_child_logger_is_captured(captured: Captured) -> None:
    captured.listen()
    logging.getLogger("playground.mine").info("from a module")

    assert captured.texts == ["from a module"]


def test_a_handler_of_the_user_does_not_double_the_line(captured: Captured, capsys: pytest.CaptureFixture[str]) -> None:
    captured.listen()
    handler = logging.StreamHandler()
    other = logging.getLogger("somebody-else")
    for one in (logger, other):
        one.addHandler(handler)
    try:
        logger.warning("once")
        other.warning("by another logger")
    finally:
        for one in (logger, other):
            one.removeHandler(handler)

    assert captured.texts == ["once", "by another logger"]
    assert capsys.readouterr().err == "once\nby another logger\n"


def test_print_becomes_whole_lines_and_still_prints(captured: Captured, capsys: pytest.CaptureFixture[str]) -> None:
    captured.listen()
    print("epoch", 1, end=" ")
    print("done")
    print("two\nlines")
    print()
    sys.stderr.write("careful\n")

    assert captured.texts == ["epoch 1 done", "two", "lines", "careful"]
    assert capsys.readouterr() == ("epoch 1 done\ntwo\nlines\n\n", "careful\n")


def test_a_progress_bar_is_reduced_to_its_last_state(captured: Captured) -> None:
    captured.listen()
    for percent in range(0, 101, 10):
        sys.stderr.write(f"\r{percent:3}%|\x1b[32m{'#' * (percent // 10)}\x1b[0m|")
    assert captured.entries == []
    sys.stderr.write("\n")

    assert captured.texts == ["100%|##########|"]


def test_a_progress_bar_that_erases_itself_leaves_nothing(captured: Captured) -> None:
    captured.listen()
    sys.stderr.write("50%\r")
    sys.stderr.write("      \r")
    sys.stderr.write("next\r\n")

    assert captured.texts == ["next"]


def test_a_long_progress_bar_does_not_pile_up(captured: Captured) -> None:
    captured.listen()
    for _ in range(1000):
        sys.stderr.write("\r" + "x" * 100)

    assert sum(map(len, sys.stderr._unfinished.values())) < 300  # type: ignore[attr-defined]


def test_the_lines_of_two_threads_do_not_mix(captured: Captured) -> None:
    captured.listen()
    turn = threading.Barrier(2, timeout=5)

    def speak(name: str) -> None:
        for index in range(50):
            print(f"{name} {index}", end="")
            turn.wait()
            print(" end")

    threads = [threading.Thread(target=speak, args=(name,)) for name in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert sorted(captured.texts) == sorted(f"{name} {index} end" for name in ("left", "right") for index in range(50))


def test_a_warning_is_said_once_and_still_shown(captured: Captured, capsys: pytest.CaptureFixture[str]) -> None:
    captured.listen()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        capture = captured.capture
        warnings.showwarning = capture._showwarning  # pytest records warnings with its own hook
        capture._original_showwarning = lambda message, *rest: sys.stderr.write(f"shown: {message}\n")
        warnings.warn("deprecated thing", UserWarning, stacklevel=1)

    assert len(captured.entries) == 1
    assert captured.entries[0][1:4] == ("WARNING", None, "warning")
    assert captured.texts[0].startswith("UserWarning: deprecated thing (")
    assert capsys.readouterr().err == "shown: deprecated thing\n"


def test_everything_is_given_back() -> None:
    before: list[Any] = [sys.stdout, sys.stderr, warnings.showwarning, list(logger.handlers), logger.level]
    capture = Capture()
    said: list[Entry] = []
    capture.start(said.append)
    assert sys.stdout is not before[0]
    print("unfinished", end="")
    capture.stop()
    print("after")

    assert [sys.stdout, sys.stderr, warnings.showwarning, list(logger.handlers), logger.level] == before
    assert [entry[4] for entry in said] == ["unfinished"]


def test_a_level_that_the_user_has_chosen_is_respected() -> None:
    logger.setLevel("DEBUG")
    try:
        capture = Capture(level="INFO")
        said: list[Entry] = []
        capture.start(said.append)
        logger.debug("detail")
        capture.stop()
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(logging.NOTSET)

    assert [entry[4] for entry in said] == ["detail"]


def test_a_stream_that_somebody_else_replaced_is_left_alone(captured: Captured) -> None:
    captured.listen()
    with contextlib.redirect_stdout(io.StringIO()) as elsewhere:
        captured.capture.stop()
        print("redirected")
    print("the old capture is only a passage now")
    again = Capture()
    again.start(captured.entries.append)
    print("new")
    again.stop()

    assert elsewhere.getvalue() == "redirected\n"
    assert captured.texts == ["new"]


def test_captures_that_overlap_are_undone_in_any_order() -> None:
    before = sys.stdout
    first, second = Capture(), Capture()
    first.start(lambda entry: None)
    second.start(lambda entry: None)
    first.stop()
    second.stop()

    assert sys.stdout is before


def test_the_stream_behaves_like_the_one_below(captured: Captured) -> None:
    captured.listen()
    assert sys.stdout.encoding.lower() == "utf-8"
    assert sys.stdout.writable()
    assert not sys.stdout.isatty()
    sys.stdout.writelines(["a\n", "b\n"])

    assert captured.texts == ["a", "b"]
