"""`python -m playground_ext.kernel.warm_up SOCKET`: become a zygote. Returns when it serves; a child carries on."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO, NoReturn

from playground_ext.kernel.freshness import Installed

__all__ = ["main"]

_SERVING = b"serving"


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1, with the reason on stderr, if it cannot become a zygote."""
    parser = argparse.ArgumentParser(prog="playground_ext.kernel.warm_up", description=__doc__)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--idle", type=float, required=True, help="seconds without kernels after which it leaves")
    parser.add_argument("--preload", nargs="*", default=[], metavar="MODULE", help="import these as well")
    options = parser.parse_args(arguments)
    hear, tell = os.pipe()
    if child := os.fork():  # whoever called us waits for this process only, and keeps no zombie
        os.close(tell)
        with open(hear, "rb") as report:
            message = report.read()
        if message == _SERVING:
            return 0
        os.waitpid(child, 0)
        sys.stderr.write(message.decode() or "it ended without a word")
        return 1
    os.close(hear)
    with open(tell, "wb", buffering=0) as report:
        _live(options.socket, options.idle, options.preload, report)


def _live(path: Path, idle: float, preload: list[str], report: BinaryIO) -> NoReturn:
    os.setsid()
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _redirect_output(path.with_suffix(".log"))
    installed = Installed()
    from playground_ext.kernel.preload import FOR_USERS, OF_KERNELS, blas_thread_setters, danger, import_all, settle

    before = dict(os.environ)
    failures = import_all(OF_KERNELS)
    set_by_imports = {name: value for name, value in dict(os.environ).items() if name not in before}
    failures |= import_all([*FOR_USERS, *preload])
    for name, reason in failures.items():
        print(f"not preloaded: {name}: {reason}", file=sys.stderr)
    installed.remember_imports()
    if why := danger():
        report.write(why.encode())
        os._exit(1)  # threads may never end
    from playground_ext.kernel.app import ModuleFiles, run_forked
    from playground_ext.kernel.birth import READY, become_kernel
    from playground_ext.kernel.zygote import Zygote

    files, blas, me = ModuleFiles(), list(blas_thread_setters()), os.getpid()
    try:
        zygote = Zygote(path, installed, idle=idle)
    except OSError as error:
        report.write(f"it cannot listen at {path}: {error}".encode())
        os._exit(1)
    settle()
    report.write(_SERVING)
    report.close()
    sys.stderr.flush()
    child = zygote.serve()
    if child is None:
        zygote.close()
        os._exit(0)  # nothing is left to tidy up, and torch would complain
    zygote.forget()
    wanted, descriptors = child
    become_kernel(wanted, descriptors, me, blas)
    os.environ.update(set_by_imports | wanted.environment)
    run_forked(wanted.arguments, READY, files)


def _redirect_output(log: Path) -> None:
    """Let go of the asker's streams, or its end would wait for ours."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    for source, target in ((nowhere, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(nowhere)
    os.close(output)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, from which this package may have been imported
    os.chdir("/")
    from playground_ext.kernel.warm_up import main as main_of_the_module  # so that nothing of it lives in __main__

    sys.exit(main_of_the_module())
