"""AlphaMed's loggers. Theirs print at all times; ours are shown by a run, so somebody has to show them outside one."""

from __future__ import annotations

import logging
import sys

from playground_ext import settings

__all__ = ["logger", "show_lines_outside_runs", "task_logger"]

logger = logging.getLogger("playground")
task_logger = logger.getChild("task")


class _OutsideRuns(logging.Handler):
    """Prints to stderr, unless a run (or the user) has a handler of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        if logger.handlers == [self] and not logging.getLogger().handlers:
            print(self.format(record), file=sys.stderr)


def show_lines_outside_runs() -> None:
    """Once: what a notebook logs before and after its task is printed below the cell."""
    if any(isinstance(handler, _OutsideRuns) for handler in logger.handlers):
        return
    handler = _OutsideRuns()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    if logger.level == logging.NOTSET:
        logger.setLevel(settings.read().log_level)
