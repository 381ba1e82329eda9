"""Make a Python environment complete for a make target: `python3 .ci/environment.py [--python P] EXTRA…`.

Without --python it is .venv in this repository, made when it is missing; with it, that environment is used as it is and
only gets what it lacks. What is complete already is left alone, without asking the network. Before anything is created
or downloaded, what could stop it half-way is checked, and what will be downloaded is said.

Runs under any Python 3, so that an old one can be told what is missing; uses the standard library only.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile

OLDEST = (3, 11)
REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENVIRONMENT = os.path.join(REPOSITORY, ".venv")
GIB = 1024**3
DISK = 8 * GIB  # free where the environment goes: 5.5 GB stay, the rest is for unpacking
DOWNLOADS = 4 * GIB  # free where pip keeps downloads while it installs; counted only if that is another disk


class Stop(Exception):
    """What is wrong, and what to do about it."""


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", help="reuse this interpreter's environment instead of .venv")
    parser.add_argument("extras", nargs="*", help="extras of pyproject.toml: lab, test, dev")
    options = parser.parse_args(arguments)
    try:
        python = reused(options.python) if options.python else own_python()
        complete(python, options.extras, reuse=bool(options.python))
    except Stop as stop:
        sys.stderr.write("\n%s\n\n" % stop)
        return 1
    except subprocess.CalledProcessError as error:
        sys.stderr.write("\n%s\nfailed; its last lines say why. Run make again to continue.\n\n" % " ".join(error.cmd))
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. Run make again to continue.\n")
        return 130
    return 0


def own_python():
    """The interpreter of .venv, which is made if it is not there or broken."""
    python = os.path.join(ENVIRONMENT, "bin", "python")
    if works(python) and has_pip(python):
        return python
    base = new_enough()
    check_venv(base)
    check_disk(os.path.dirname(ENVIRONMENT))
    announce(ENVIRONMENT)
    say("Making .venv with %s" % base)
    subprocess.check_call([base, "-m", "venv", "--clear", ENVIRONMENT])
    return python


def reused(name):
    """The interpreter that PYTHON= names."""
    python = shutil.which(name)
    if python is None:
        raise Stop("PYTHON=%s: there is no such program." % name)
    python = os.path.abspath(python)  # not realpath: a virtual environment is recognised by where its link lies
    found = version(python)
    if found is None or found < OLDEST:
        raise Stop("PYTHON=%s is %s; this project needs Python %s or newer." % (name, dotted(found), dotted(OLDEST)))
    return python


def complete(python, extras, reuse):
    """Install this checkout, editable, with what it lacks for `extras`."""
    missing = lacking(python, extras)
    if not missing:
        return
    if not has_pip(python):
        raise Stop("%s has no pip, and lacks: %s" % (python, ", ".join(missing)))
    if reuse and "torch" in missing:
        prefix = ask(python, "import sys; print(sys.prefix)")
        check_disk(prefix)
        announce(prefix)
    say("Installing into %s: %s" % (os.path.dirname(os.path.dirname(python)), ", ".join(missing)))
    command = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    if missing == ["playground-ext"]:  # installed before pyproject.toml or a kernelspec changed
        command += ["--quiet", "--no-deps"]
    if ask(python, "import hatchling") is not None:  # then building it needs no download
        command += ["--no-build-isolation"]
    target = "." + ("[%s]" % ",".join(extras) if extras else "")
    subprocess.check_call([*command, "-e", target], cwd=REPOSITORY)


def lacking(python, extras):
    """Names of what is not installed, or not in a version that pyproject.toml allows; this project itself if stale."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "requirements.py")
    answer = output([python, script, *extras])
    return answer.split() if answer is not None else ["pip"]


def new_enough():
    """This Python, or a newer one on the PATH."""
    if sys.version_info >= OLDEST:
        return sys.executable
    for minor in range(20, OLDEST[1] - 1, -1):
        python = shutil.which("python3.%d" % minor)
        if python and works(python):
            return python
    raise Stop(
        "This project needs Python %s or newer; python3 is %s, and no newer one is on the PATH.\n"
        "Install one (Debian 12 and Ubuntu 24.04 bring one: apt install python3 python3-venv; elsewhere uv or pyenv\n"
        "can), or name it: make demo PYTHON=/path/to/python" % (dotted(OLDEST), dotted(sys.version_info[:2]))
    )


def check_venv(python):
    if ask(python, "import venv, ensurepip") is None:
        raise Stop(
            "%s cannot make virtual environments: its modules venv and ensurepip are missing.\n"
            "On Debian and Ubuntu: apt install python3-venv. Then run make again." % python
        )


def check_disk(folder, free=None, temporary_free=None):
    """`free`, `temporary_free`: bytes, for tests; otherwise they are looked up."""
    temporary = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free if free is None else free
    if free < DISK:
        raise Stop(
            "%.1f GB are free at %s; installing needs %d GB (PyTorch and torchvision are large).\n"
            "Make room, or reuse an environment that has them: make demo PYTHON=/path/to/python"
            % (free / GIB, folder, DISK // GIB)
        )
    if temporary_free is None:
        if os.stat(temporary).st_dev == os.stat(folder).st_dev:
            return
        temporary_free = shutil.disk_usage(temporary).free
    if temporary_free < DOWNLOADS:
        raise Stop(
            "%.1f GB are free at %s, where pip keeps downloads while it installs; it needs %d GB.\n"
            "Name a folder with more room: TMPDIR=/path make demo" % (temporary_free / GIB, temporary, DOWNLOADS // GIB)
        )


def announce(folder):
    say(
        "This will download PyTorch, torchvision and the other Python packages that the project needs, once, from the\n"
        "package index that pip is set to: about 3 GB, which take about 5.5 GB in %s.\n"
        "Apart from pip's cache nothing is written elsewhere. To reuse an environment: make demo PYTHON=/path/to/python"
        % folder
    )


def works(python):
    found = version(python) if os.path.exists(python) else None
    return found is not None and found >= OLDEST


def has_pip(python):
    return ask(python, "import pip") is not None


def version(python):
    """(3, 11), or None if it does not run."""
    answer = ask(python, "import sys; print('%d %d' % sys.version_info[:2])")
    return tuple(int(part) for part in answer.split()) if answer else None


def ask(python, code):
    """What the interpreter prints; None if it fails."""
    return output([python, "-c", code])


def output(command):
    try:
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, universal_newlines=True)
    except (OSError, subprocess.CalledProcessError):
        return None


def dotted(numbers):
    return ".".join(str(number) for number in numbers) if numbers else "not a working Python"


def say(text):
    print(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
