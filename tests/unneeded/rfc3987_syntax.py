"""Stands before the installed one, which takes 1.5 s to be imported, wherever notebooks are read: papermill, Lab.

It builds parsers for international addresses, for JSON schemas that have such; ours and Jupyter's have none.
"""

raise ImportError("hidden from what the tests start")
