"""`alphafed.dataset`: see `alphafed.dataset.mnist`."""
