"""`papermill --engine playground`: what papermill's entry point names.

papermill loads its entry points while it is itself being imported, and `runner.engine` imports papermill: whichever
came first would find the other half made. So this module imports neither until papermill asks for something.
"""

from __future__ import annotations

from typing import Any

__all__ = ["PlaygroundEngine"]


class PlaygroundEngine:
    """Stands for `playground_ext.runner.engine.PlaygroundEngine`, which see."""

    @classmethod
    def nb_kernel_name(cls, *arguments: Any, **options: Any) -> Any:
        from playground_ext.runner import engine

        return engine.PlaygroundEngine.nb_kernel_name(*arguments, **options)

    @classmethod
    def nb_language(cls, *arguments: Any, **options: Any) -> Any:
        from playground_ext.runner import engine

        return engine.PlaygroundEngine.nb_language(*arguments, **options)

    @classmethod
    def execute_notebook(cls, *arguments: Any, **options: Any) -> Any:
        from playground_ext.runner import engine

        return engine.PlaygroundEngine.execute_notebook(*arguments, **options)
