"""Ctrl-C in a notebook that a program runs is said at once, with the user's own lines only; a person sees all."""

from __future__ import annotations

import pytest

from .conftest import gone

EXTENSION = "%load_ext playground_ext.kernel.interrupt"
STRIKES = """
import json
def strike(value):
    raise KeyboardInterrupt
try:
    json.loads("{")
except ValueError:
    json.dumps(object(), default=strike)
"""


def test_a_programs_notebook_gets_the_users_own_lines(start):
    kernel = start()
    kernel.run(EXTENSION)

    said = kernel.result(kernel.client.execute(STRIKES, allow_stdin=False))

    assert "KeyboardInterrupt" in said
    assert "strike" in said
    assert "json/encoder.py" not in said
    assert "json/decoder.py" not in said, "nor what was being handled"


def test_a_person_sees_where_in_a_library_it_struck(start):
    kernel = start()
    kernel.run(EXTENSION)

    said = kernel.result(kernel.client.execute(STRIKES, allow_stdin=True))

    assert "strike" in said
    assert "json/encoder.py" in said


def test_other_errors_are_shown_as_ever_and_the_users_own_handling_comes_first(start):
    kernel = start()
    kernel.run("get_ipython().set_custom_exc((KeyError,), lambda *_, **__: print('mine'))")
    kernel.run(EXTENSION)

    assert kernel.run("{}['x']").strip() == "mine"
    assert "json/decoder.py" in kernel.run("import json; json.loads('{')")


def test_the_reply_says_keyboard_interrupt_and_the_kernel_goes_on(start):
    kernel = start()
    kernel.run(EXTENSION)

    kernel.client.execute(STRIKES, allow_stdin=False, stop_on_error=False)  # else what comes at once is aborted
    reply = kernel.client.get_shell_msg(timeout=10)["content"]
    while reply.get("ename") is None:  # the replies of earlier cells
        reply = kernel.client.get_shell_msg(timeout=10)["content"]

    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    assert kernel.run("print(1 + 1)").strip() == "2"


@pytest.mark.parametrize("warm", ["0", "1"])
def test_a_kernel_ends_without_tearing_the_interpreter_down(start, monkeypatch, tmp_path, warm):
    monkeypatch.setenv("PLAYGROUND_WARM", warm)
    kernel = start()
    kernel.run(
        "import atexit, sys\n"
        f"class Late:\n    def __del__(self): open({str(tmp_path / 'torn')!r}, 'w').close()\n"
        "sys.late = Late()\n"  # goes when the interpreter empties its modules
        f"atexit.register(lambda: open({str(tmp_path / 'left')!r}, 'w').close())"
    )
    pid = kernel.pid

    kernel.manager.shutdown_kernel()

    assert gone(pid)
    assert (tmp_path / "left").exists()
    assert not (tmp_path / "torn").exists()
