"""Other systems' dialects: notebooks written for AlphaMed's `alphafed` run unchanged.

`install()` makes `import alphafed` resolve to `playground_ext.compat.alphafed`, in any Python. Party kernels and the
kernels of `playground run` do it by themselves. A package alphafed that is really installed wins, unless
PLAYGROUND_COMPAT=alphafed. Nothing is imported before it is asked for, torch least of all.
"""

from __future__ import annotations

from typing import Any

from playground_ext import settings
from playground_ext.compat.finder import AlphafedFinder, install_finder

__all__ = ["install", "load_ipython_extension"]


def install() -> None:
    """From now on `import alphafed` finds ours; again is no harm.

    Raises:
        ConfigError: PLAYGROUND_COMPAT or PLAYGROUND_DATASETS says something that makes no sense.
    """
    known = settings.read()
    install_finder(AlphafedFinder())
    if known.datasets:
        from playground_ext.compat.mapped_paths import map_paths

        map_paths(known.datasets)


def load_ipython_extension(shell: Any) -> None:
    """IPython's hook, by which kernels install it."""
    install()
