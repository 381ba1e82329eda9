"""AlphaMed's documents as the tests read them: code blocks, notebooks made of them, and a data set of MNIST's size."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

import nbformat
import numpy as np

from playground_ext.data import BUNDLED, FILES, RAW

__all__ = ["DOCUMENTS", "INSTALL", "assemble", "changed", "code_blocks", "tile_mnist", "write_notebook"]

DOCUMENTS = Path(__file__).parent / "compat" / "documents"
INSTALL = (
    "import playground_ext.compat\nplayground_ext.compat.install()\n"  # what a party kernel has done before cell 1
)
_FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL | re.IGNORECASE)


def code_blocks(name: str) -> list[str]:
    """The Python blocks of a document, in its order."""
    return _FENCE.findall((DOCUMENTS / name).read_text("utf-8"))


def changed(source: str, literals: Mapping[str, str]) -> str:
    """The source with other literals, each of which must be there."""
    for old, new in literals.items():
        assert old in source, f"the document does not say {old!r}"
        source = source.replace(old, new)
    return source


def assemble(head: str, methods: Iterable[str]) -> str:
    """A block that ends in `class X(…): ...`, with the methods of other blocks instead of the dots."""
    bodies = "\n".join(textwrap.indent(method, "    ") for method in methods)
    assert head.rstrip().endswith("...")
    return head.rstrip().removesuffix("...").rstrip() + "\n\n" + bodies


def write_notebook(path: Path, cells: Iterable[str], kernel: str = "python3") -> None:
    """A notebook as AlphaMed's users have it: no parameters cell, whatever kernel."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": kernel, "display_name": kernel, "language": "python"}
    nbformat.write(notebook, path)


def tile_mnist(folder: Path, *, train: int = 60_000, test: int = 10_000) -> Path:
    """So many images in torchvision's layout below `folder`: the bundled ones, again and again."""
    import gzip

    sizes = {"train": train, "t10k": test}
    raw = folder / RAW
    raw.mkdir(parents=True)
    for name in FILES:
        with gzip.open(BUNDLED / RAW / f"{name}.gz") as archive:
            content = archive.read()
        header = 16 if "images" in name else 8  # magic number, count, and for images height and width
        width = 28 * 28 if "images" in name else 1
        size = sizes[name.split("-")[0]]
        rows = np.frombuffer(content, np.uint8, offset=header).reshape(-1, width)
        tiled = np.resize(rows, (size, width))
        (raw / name).write_bytes(content[:4] + size.to_bytes(4, "big") + content[8:header] + tiled.tobytes())
    return folder
