"""The distribution: what is in it, and that it works installed as wheel, from the sdist, and editable.

Each is installed into a fresh virtual environment, which borrows the dependencies (gigabytes) from the environment that
runs the tests, but has to bring the package, the command, the kernels and the templates itself.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
KERNELS = {
    "playground-aggregator": "Aggregator (Playground)",
    "playground-collaborator": "Collaborator (Playground)",
    "playground-host": "Host (Playground)",
}
LABEXTENSION = REPOSITORY / "playground_ext" / "labextension"
TEMPLATE_FILES = {"template.toml", "aggregator.ipynb", "collaborator.ipynb"}
KERNEL_FILES = {"kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"}

pytestmark = pytest.mark.slow


def checked(command: list[str | Path], **options: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=150, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Built:
    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The wheel is built from the sdist, so what the sdist lacks is missed."""
    folder = tmp_path_factory.mktemp("dist")
    checked([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, REPOSITORY])
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    return Built(wheel, sdist)


@dataclass(frozen=True)
class Installed:
    """A fresh environment, and a folder far from the checkout to run it in."""

    kind: str  # wheel, sdist or editable
    prefix: Path
    elsewhere: Path

    def run(self, program: str, *arguments: str) -> str:
        kept = ("LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
        environment = {name: os.environ[name] for name in kept if name in os.environ} | {
            "HOME": str(self.elsewhere),
            "IPYTHONDIR": str(self.elsewhere / "ipython"),
            "PATH": os.pathsep.join([str(self.prefix / "bin"), os.defpath]),
            "PLAYGROUND_RUNTIME": str(self.elsewhere / "r"),
            "PLAYGROUND_WARM": "0",  # a process that forks kernels would outlive the test
        }
        return checked([self.prefix / "bin" / program, *arguments], cwd=self.elsewhere, env=environment)

    def python(self, code: str) -> str:
        return self.run("python", "-c", code).strip()


COMMANDS = {  # scripts that pip would have made along with the borrowed packages
    "jupyter": "from jupyter_core.command import main; sys.exit(main())",
    "jupyter-kernelspec": "from jupyter_client.kernelspecapp import KernelSpecApp; KernelSpecApp.launch_instance()",
}


@pytest.fixture(scope="module")
def install(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Installed]:
    @functools.cache
    def install(kind: str) -> Installed:
        folder = tmp_path_factory.mktemp(kind)
        made = Installed(kind, folder / "environment", folder / "elsewhere")
        made.elsewhere.mkdir()
        venv.create(made.prefix, with_pip=False, symlinks=True)
        python = made.prefix / "bin" / "python"
        borrowed = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
        packages = checked([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip()
        Path(packages, "borrowed.pth").write_text("\n".join(borrowed) + "\n")  # .pth files in there are not followed
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--disable-pip-version-check", "--no-index"]
        source = {"wheel": [built.wheel], "sdist": [built.sdist], "editable": ["--editable", REPOSITORY]}[kind]
        # --ignore-installed: pip sees the borrowed environment's playground-ext, which it must not touch
        checked([*pip, "--no-deps", "--no-build-isolation", "--ignore-installed", *source])
        for command, code in COMMANDS.items():
            script = made.prefix / "bin" / command
            script.write_text(f"#!{python}\nimport sys\n{code}\n")
            script.chmod(0o755)
        return made

    return install


@pytest.fixture(params=["wheel", "sdist", "editable"])
def installed(request: pytest.FixtureRequest, install: Callable[[str], Installed]) -> Installed:
    return install(request.param)


@pytest.fixture
def from_wheel(install: Callable[[str], Installed]) -> Installed:
    return install("wheel")


def test_the_fresh_package_is_the_one_that_is_imported(installed):
    where = Path(installed.python("import playground_ext; print(playground_ext.__file__)"))
    root = REPOSITORY if installed.kind == "editable" else installed.prefix
    assert where.is_relative_to(root)


def test_templates_are_found_far_from_the_checkout(installed):
    found = {entry["name"]: entry for entry in json.loads(installed.run("playground", "templates", "--json"))}
    root = REPOSITORY if installed.kind == "editable" else installed.prefix / "share" / "playground"
    assert Path(found["fed_avg"]["folder"]) == root / "templates" / "fed_avg"
    assert "fed_avg" in installed.run("playground", "templates")


def test_templates_are_in_order_where_they_are_installed(installed):
    found = json.loads(installed.run("playground", "templates", "--json"))
    for template in found:
        assert "is in order" in installed.run("playground", "templates", "--check", template["folder"])


def test_jupyter_lists_a_kernel_for_each_role(installed):
    found = json.loads(installed.run("jupyter", "kernelspec", "list", "--json"))["kernelspecs"]
    names = {name: spec["spec"]["display_name"] for name, spec in found.items() if name.startswith("playground-")}
    assert names == KERNELS
    for name in KERNELS:
        folder = Path(found[name]["resource_dir"])
        assert folder == installed.prefix / "share" / "jupyter" / "kernels" / name
        assert {path.name for path in folder.iterdir()} == KERNEL_FILES


def test_a_role_kernel_runs_this_environment(installed):
    """kernel.json says `python`, which jupyter_client replaces by the interpreter that starts the kernel."""
    code = """
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="playground-aggregator", startup_timeout=60)
try:
    asked = {"prefix": "__import__('sys').prefix", "package": "__import__('playground_ext').__file__"}
    reply = client.execute_interactive("", user_expressions=asked, timeout=60)
    print(*(reply["content"]["user_expressions"][name]["data"]["text/plain"].strip("'") for name in asked))
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""
    prefix, package = installed.python(code).split()
    assert Path(prefix) == installed.prefix
    assert package == installed.python("import playground_ext; print(playground_ext.__file__)")


def test_papermill_knows_the_engine_whichever_is_imported_first(from_wheel):
    knows = (
        "from papermill.engines import papermill_engines as engines; print(engines.get_engine('playground').__name__)"
    )
    assert from_wheel.python(knows) == "PlaygroundEngine"
    assert from_wheel.python(f"import playground_ext.runner.engine\n{knows}") == "PlaygroundEngine"


def test_the_subset_of_mnist_comes_with_the_wheel(from_wheel):
    assert from_wheel.python("from playground_ext.data import mnist; print(len(mnist(subset=True)) > 1000)") == "True"


def test_the_version_is_said_once_and_the_same_everywhere(installed):
    said = installed.run("playground", "--version").split()[-1]
    assert said == installed.python("import playground_ext; print(playground_ext.__version__)")


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(built):
    names = set(zipfile.ZipFile(built.wheel).namelist())
    stem = "-".join(built.wheel.name.split("-")[:2])
    share = f"{stem}.data/data/share"
    assert {name.split("/")[0] for name in names} == {"playground_ext", f"{stem}.data", f"{stem}.dist-info"}
    assert f"{stem}.dist-info/licenses/LICENSE" in names
    assert {f"{share}/jupyter/kernels/{kernel}/{file}" for kernel in KERNELS for file in KERNEL_FILES} <= names
    assert {f"{share}/playground/templates/fed_avg/{file}" for file in TEMPLATE_FILES} <= names
    assert {"playground_ext/py.typed", "playground_ext/runner/cli.py"} <= names
    assert not [name for name in names if "__pycache__" in name or ".ipynb_checkpoints" in name]


def test_the_wheel_brings_the_lab_extension_built_and_not_its_sources(built):
    names = set(zipfile.ZipFile(built.wheel).namelist())
    stem = "-".join(built.wheel.name.split("-")[:2])
    extension = f"{stem}.data/data/share/jupyter/labextensions/playground-ext"
    committed = {str(path.relative_to(LABEXTENSION)) for path in LABEXTENSION.rglob("*") if path.is_file()}
    assert {f"{extension}/{file}" for file in committed | {"install.json"}} <= names
    assert json.loads((LABEXTENSION / "package.json").read_text())["jupyterlab"]["_build"]["load"] in committed
    assert "playground_ext/locale/zh_CN/LC_MESSAGES/playground_ext.json" in names
    assert not [name for name in names if name.startswith(("playground_ext/lab/", "playground_ext/labextension/"))]


def test_the_sdist_has_the_sources_of_the_lab_extension_and_no_node_modules(built):
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    lab = "playground_ext/lab"
    assert {f"{lab}/package.json", f"{lab}/package-lock.json", f"{lab}/.npmrc", f"{lab}/src/index.ts"} <= names
    assert not [name for name in names if name.startswith((f"{lab}/node_modules", f"{lab}/lib/", f"{lab}/build/"))]


def test_the_wheel_stays_small(built):
    assert built.wheel.stat().st_size < 4_000_000  # bytes; the MNIST subset is most of it


def test_the_sdist_holds_what_one_needs_to_build_and_test(built):
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "Makefile", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", ".ci/run"}
    wanted |= {"tests/conftest.py", ".ci/environment.py", "kernels/logos.py", "templates/fed_avg/template.toml"}
    assert not wanted - names
    assert not [name for name in names if name.startswith((".venv", "runs", "dist")) or "__pycache__" in name]
