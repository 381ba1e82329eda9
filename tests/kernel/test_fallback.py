"""Where forking is impossible or unsafe an ordinary process starts, and one line of the log says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from playground_ext.kernel import client
from playground_ext.kernel.client import NoFork, Wish, fork_kernel
from playground_ext.kernel.listing import zygotes
from playground_ext.kernel.provisioner import ZygoteProvisioner

from .conftest import gone, kill


def _is_plain(kernel, log_lines, why):
    assert why in kernel.why_plain
    assert isinstance(kernel.manager.provisioner.process, subprocess.Popen)
    assert kernel.run("print(1 + 1)").strip() == "2"
    lines = log_lines()
    assert len(lines) == 1
    assert why in lines[0]


def test_the_environment_can_forbid_it(start, log_lines, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_WARM", "0")

    _is_plain(start(), log_lines, "PLAYGROUND_WARM=0")


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems_are_named(monkeypatch, system):
    monkeypatch.setattr(client.sys, "platform", system)

    with pytest.raises(NoFork, match=f"not safe on {system}"):
        client.check_possible({})


def test_a_zygote_with_threads_does_not_fork(start, log_lines, tmp_path, without_torch):
    (tmp_path / "starts_thread.py").write_text(
        "import threading; threading.Thread(target=threading.Event().wait).start()"
    )
    env = {"PYTHONPATH": f"{without_torch['PYTHONPATH']}:{tmp_path}"}

    kernel = start(env=env, config={"preload": ["starts_thread"]})

    _is_plain(kernel, log_lines, "it has 2 threads")


def test_a_zygote_that_could_not_start_is_not_tried_again_at_once(start, log_lines, tmp_path, without_torch):
    (tmp_path / "ends_it.py").write_text("import os, sys; os._exit(3)")
    env = {"PYTHONPATH": f"{without_torch['PYTHONPATH']}:{tmp_path}"}

    _is_plain(start(env=env, config={"preload": ["ends_it"]}), log_lines, "the zygote cannot start: it ended without")
    again = start(env=env, config={"preload": ["ends_it"]})

    assert "could not start a while ago" in again.why_plain
    assert again.seconds < 5


def test_a_zygote_in_which_cuda_was_initialised_does_not_fork(start, log_lines, tmp_path):
    (tmp_path / "uses_cuda.py").write_text("import torch; torch.cuda.is_initialized = lambda: True")
    env = {"PYTHONPATH": f"{os.environ['PYTHONPATH']}:{tmp_path}"}

    kernel = start(env=env, config={"preload": ["uses_cuda"]})

    _is_plain(kernel, log_lines, "CUDA is initialised in it")


def test_a_zygote_that_hangs_is_replaced_by_the_next_kernel(start, log_lines, without_torch):
    running = start(env=without_torch)
    hung = running.zygote
    kill(hung, signal.SIGSTOP)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client, "ANSWER", 0.5)
            _is_plain(start(env=without_torch), log_lines, "did not answer within 0.5 s")
        fresh = start(env=without_torch)
        assert fresh.why_plain is None
        assert fresh.zygote != hung
    finally:
        kill(hung, signal.SIGCONT)
    assert running.run("print('alive')").strip() == "alive"
    running.stop()
    assert gone(hung)  # it has found out, and had nobody left


def test_a_zygote_that_was_killed_is_replaced(start, without_torch):
    before = start(env=without_torch)
    killed = before.zygote
    kill(killed)
    assert before.manager.provisioner.process.wait(timeout=5) == -signal.SIGKILL
    assert gone(before.pid)

    after = start(env=without_torch)

    assert after.why_plain is None
    assert after.zygote != killed


def test_a_runtime_folder_that_others_can_enter_is_not_used(start, log_lines, tmp_path, monkeypatch):
    (tmp_path / "open").mkdir(mode=0o755)
    monkeypatch.setenv("PLAYGROUND_RUNTIME", str(tmp_path / "open"))

    _is_plain(start(), log_lines, "is open to other users")


def test_an_environment_that_is_too_large_for_a_packet_is_no_obstacle(start, log_lines):
    kernel = start(env={f"LARGE_{number}": "x" * 100_000 for number in range(14)})

    _is_plain(kernel, log_lines, "the zygote cannot be used: [Errno 90]")


def test_output_through_a_pipe_is_left_to_popen(start, log_lines):
    kernel = start(stdout=subprocess.PIPE)
    kernel.manager.provisioner.process.stdout.close()

    _is_plain(kernel, log_lines, "through a pipe")


def test_a_kernel_that_fails_while_it_starts_leaves_nothing_behind(runtime, tmp_path):
    wish = Wish(sys.executable, ["-f", "/dev/null"], dict(os.environ), tmp_path)
    with open(tmp_path / "log", "w") as log, pytest.raises(NoFork, match="did not start"):
        fork_kernel(wish, log.fileno(), log.fileno())

    assert all(not view.status.kernels for view in zygotes() if view.status is not None)


def test_the_provisioner_starts_other_commands_as_they_are(runtime):
    provisioner = ZygoteProvisioner()

    with pytest.raises(NoFork, match="no command that a zygote knows"):
        provisioner._fork(["Rscript", "-e", "IRkernel::main()"], {})
