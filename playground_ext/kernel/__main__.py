"""`python -m playground_ext.kernel -f FILE`: a complete party kernel in a process of its own."""

import os
import sys

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]  # modules beside the notebook must not hide the kernel's own; IPython puts it back later
    from playground_ext.kernel.app import run_alone

    run_alone()
