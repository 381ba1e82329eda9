"""The zygote's own life: when it retires, when it leaves, who may talk to it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import msgspec
import pytest
from paths import CHECKOUT

from playground_ext.kernel.identity import Parent, acts_at_start, sockets_folder
from playground_ext.kernel.listing import listing_text, private_bytes, zygotes
from playground_ext.kernel.packets import Ask, Spawn, connect, receive, send

from .conftest import gone, kill


@pytest.fixture
def packages(tmp_path, without_torch):
    """A folder of packages, and an environment whose zygote imports from it."""
    folder = tmp_path / "packages"
    (folder / "one-1.0.dist-info").mkdir(parents=True)
    return folder, {"PYTHONPATH": f"{without_torch['PYTHONPATH']}:{folder}"}


def test_it_retires_when_packages_change_and_leaves_with_its_last_kernel(start, packages):
    folder, env = packages
    old = start(env=env)
    before = old.zygote
    (folder / "one-1.0.dist-info").rename(folder / "one-2.0.dist-info")

    new = start(env=env)

    assert new.why_plain is None
    assert new.zygote != before
    assert old.run("print('alive')").strip() == "alive"
    old.stop()
    assert gone(before)
    kill(new.zygote)


def test_other_files_in_a_folder_of_packages_are_no_change(start, packages):
    folder, env = packages
    first = start(env=env)
    (folder / "__pycache__").mkdir()

    second = start(env=env)

    assert second.zygote == first.zygote
    kill(first.zygote)


def test_a_module_of_a_checkout_that_was_edited_is_a_change(start, packages):
    folder, env = packages
    (folder / "edited.py").write_text("value = 1")
    os.utime(folder / "edited.py", (1, 1))
    first = start(env=env, config={"preload": ["edited"]})
    assert first.run("import edited; print(edited.value)").strip() == "1"
    (folder / "edited.py").write_text("value = 22")

    second = start(env=env, config={"preload": ["edited"]})

    assert second.why_plain is None or "changed while it was imported" in second.why_plain
    assert second.run("import edited; print(edited.value)").strip() == "22"
    for kernel in (first, second):
        if kernel.why_plain is None:
            kill(kernel.zygote)


def test_it_leaves_when_nobody_has_used_it_for_a_while(start, without_torch):
    kernel = start(env=without_torch, config={"idle": 1.0})
    zygote = kernel.zygote
    time.sleep(1.2)
    assert not gone(zygote, timeout=0.2)  # it has a kernel
    kernel.stop()

    assert gone(zygote, timeout=5)
    assert not any(view.status.pid == zygote for view in zygotes() if view.status is not None)


def test_variables_that_act_only_at_the_start_of_python_get_a_zygote_of_their_own(runtime):
    def key(**more):
        return Parent(sys.executable, {"PATH": "/bin", **more}).key

    assert key() == key(PLAYGROUND_PARTY="alice", OMP_NUM_THREADS="2", MPLBACKEND="agg")
    assert len({key(), key(PYTHONHASHSEED="1"), key(LD_PRELOAD="x.so"), key(LC_ALL="C"), key(OMP_PROC_BIND="1")}) == 5
    assert not acts_at_start("PATH")


def test_its_socket_can_be_reached_by_its_user_alone(start):
    start()
    folder = sockets_folder()

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    sockets = [path for path in folder.iterdir() if path.is_socket()]
    assert any(path.name.startswith("z-") for path in sockets)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in sockets if path.name.startswith("z-"))


@pytest.mark.parametrize("data", [b"\x80\x04N.", b"{}", b'{"type":"spawn"}', b"x" * 5000])
def test_nonsense_on_its_socket_ends_that_connection_only(start, data):
    kernel = start()
    path = next(view.socket for view in zygotes())
    with connect(str(path), 5) as connection:
        connection.send(data)
        assert receive(connection) == (None, [])

    assert kernel.run("print('alive')").strip() == "alive"


def test_a_request_without_descriptors_is_refused(start):
    start()
    with connect(str(next(view.socket for view in zygotes())), 5) as connection:
        send(connection, Spawn([], {}, "/", 0o22, [0], {}))
        answer, _ = receive(connection)

    assert "lacks descriptors" in answer.why


def test_the_listing_names_kernels_and_their_memory(start):
    kernel = start(env={"PLAYGROUND_PARTY": "alice", "PLAYGROUND_TASK": "mnist"})

    text = listing_text(zygotes())

    assert f"zygote {kernel.zygote}" in text
    assert f"kernel {kernel.pid}" in text
    assert "alice in mnist" in text
    assert "MB private" in text
    views = msgspec.json.decode(listing_text(zygotes(), as_json=True))
    assert "alice" in [one["party"] for view in views for one in view["status"]["kernels"]]


def test_another_party_takes_little_memory(start):
    kernel = start()
    kernel.run(
        "import torch; from torch import nn\n"
        "net = nn.Sequential(nn.Conv2d(1, 8, 5), nn.Flatten(), nn.Linear(4608, 10))\n"
        "optimizer = torch.optim.SGD(net.parameters(), lr=0.1)\n"
        "net(torch.rand(32, 1, 28, 28)).sum().backward()\noptimizer.step()"
    )

    assert private_bytes(kernel.pid) < 50e6


DRIVER = """
import os, sys, time
sys.path.insert(0, "tests")
from tests.kernel.conftest import Kernel, new_manager
kernels = [Kernel(new_manager(), env=dict(os.environ)) for _ in range(2)]
print([k.pid for k in kernels], [k.why_plain for k in kernels], end=" ")
print(kernels[0].manager.connection_file, kernels[0].manager.ip, flush=True)
kernels[0].client.execute("import torch\\nwhile True: torch.rand(9)")
kernels[1].client.execute("import subprocess; p = subprocess.Popen(['sleep', '60'])")
time.sleep(60)
"""


def test_a_driver_that_is_killed_leaves_no_kernel_and_no_zygote(runtime):
    env = {**os.environ, "PYTHONHASHSEED": "5"}  # a zygote that no other test uses
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVER)],
        stdout=subprocess.PIPE,
        text=True,
        env=env,
        cwd=CHECKOUT,
    )
    pids, whys, *files = driver.stdout.readline().replace("], [", "]|[").replace("] ", "]|").split("|")
    try:
        pids = eval(pids)
        assert "None, None" in whys, whys
        zygote = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
        children = _wait_for_child(pids[1])
    finally:
        driver.kill()
        driver.stdout.close()
        driver.wait()

    assert all(gone(pid, timeout=8) for pid in (*pids, *children, zygote))
    connection_file, address = files[0].split()
    assert not os.path.exists(connection_file)
    assert not list(Path(address).parent.glob(f"{Path(address).name}*"))


def _wait_for_child(pid):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            return [int(child) for child in children]
        time.sleep(0.05)
    raise AssertionError("the kernel started no process")


def test_a_request_that_was_given_up_is_not_served_later(start):
    kernel = start()
    zygote = kernel.zygote
    path = next(view.socket for view in zygotes() if view.status and view.status.pid == zygote)
    kill(zygote, signal.SIGSTOP)
    before, nowhere = None, os.open(os.devnull, os.O_RDWR)
    try:
        with connect(str(path), 5) as connection:
            send(connection, Spawn(["-f", "x"], dict(os.environ), "/", 0o22, [0], {}), [nowhere] * 3)
    finally:
        os.close(nowhere)
        kill(zygote, signal.SIGCONT)
    with connect(str(path), 5) as connection:
        send(connection, Ask())
        before, _ = receive(connection)

    assert [info.pid for info in before.kernels] == [kernel.pid]
