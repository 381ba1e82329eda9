"""Between Jupyter's paths and the disk: nothing outside the folder that Jupyter serves is ever named or touched."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from playground_ext.server.refusals import BadField

__all__ = ["Root"]


class Root:
    """The folder that Jupyter serves."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().resolve()

    def inside(self, path: str, *, field: str = "path") -> Path:
        """The file or folder, which need not exist, that a Jupyter path names; links are followed before it is judged.

        Raises:
            BadField: it is absolute, climbs out with `..` or through a link, or is hidden.
        """
        pieces = PurePosixPath(path.strip().removeprefix("/")).parts if isinstance(path, str) else ("\0",)
        if any(piece.startswith(".") or "\0" in piece or "\\" in piece for piece in pieces):
            raise self._refused(field, path)
        found = self.folder.joinpath(*pieces)
        if not found.resolve().is_relative_to(self.folder):
            raise self._refused(field, path)
        return found

    def name(self, path: str | Path) -> str | None:
        """The Jupyter path of a file or folder; None if Jupyter does not serve it."""
        found = self.folder / path
        for candidate in (found, found.resolve()):
            if found.resolve().is_relative_to(self.folder) and candidate.is_relative_to(self.folder):
                name = candidate.relative_to(self.folder).as_posix()
                return "" if name == "." else name
        return None

    def _refused(self, field: str, path: object) -> BadField:
        return BadField(
            field,
            f"{path!r} is not a folder or file that Jupyter serves here",
            next_step="name one below the folder that the file browser shows, without '..'",
        )
