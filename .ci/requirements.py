"""Print which of this checkout's requirements the running environment lacks, for extras given as arguments.

Run by environment.py in the environment that it looks at; needs pip there, and Python 3.11.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pip._vendor.packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[1]


def lacking(extras: Iterable[str], repository: Path = REPOSITORY) -> str:
    """Names, separated by spaces, of what has to be installed for these extras; empty if nothing has to be."""
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    names = [requirement.name for requirement in _requirements(project, extras) if not _is_met(requirement)]
    if _is_stale(project["name"], repository):
        names.append(project["name"])
    return " ".join(dict.fromkeys(names))


def _requirements(project: dict[str, Any], extras: Iterable[str]) -> Iterator[Requirement]:
    for line in (*project["dependencies"], *(line for extra in extras for line in _extra(project, extra))):
        requirement = Requirement(line)
        if requirement.name == project["name"]:  # dev = ["playground-ext[test]", …]
            yield from (Requirement(other) for extra in requirement.extras for other in _extra(project, extra))
        elif requirement.marker is None or requirement.marker.evaluate():
            yield requirement


def _extra(project: dict[str, Any], extra: str) -> list[str]:
    return project["optional-dependencies"][extra]


def _is_met(requirement: Requirement) -> bool:
    try:
        found = distribution(requirement.name)
    except PackageNotFoundError:
        return False
    return requirement.specifier.contains(found.version, prereleases=True) and all(
        _is_met(needed) for extra in requirement.extras for needed in _of_extra(found, extra)
    )


def _of_extra(found: Distribution, extra: str) -> Iterator[Requirement]:
    for needed in map(Requirement, found.requires or []):
        marker = needed.marker
        if marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
            yield needed


def _is_stale(name: str, repository: Path) -> bool:
    """Not installed from this checkout, or before what an install copies last changed.

    That is entry points, kernelspecs and the built Lab extension.
    """
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return True
    noted = json.loads(installed.read_text("direct_url.json") or "{}")
    if not noted.get("dir_info", {}).get("editable") or Path(unquote(urlsplit(noted["url"]).path)) != repository:
        return True
    (record,) = (file for file in installed.files or [] if file.name == "RECORD")
    folders = (repository / "kernels", repository / "playground_ext" / "labextension")
    copied = [repository / "pyproject.toml", *(path for folder in folders for path in folder.rglob("*"))]
    return Path(str(record.locate())).stat().st_mtime < max(path.stat().st_mtime for path in copied)


if __name__ == "__main__":
    print(lacking(sys.argv[1:]))
