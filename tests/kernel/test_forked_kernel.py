"""A forked kernel is what a process would be that was started afresh."""

from __future__ import annotations

import glob
import json
import os
import signal
import sys
import time

import pytest

from playground_ext.kernel.process import ForkedProcess

TRAIN = """
import hashlib, torch
from torch import nn
torch.manual_seed(7)
net = nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Dropout(0.3), nn.Linear(288, 10))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for _ in range(12):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(torch.randn(64, 1, 28, 28)), torch.randint(10, (64,)))
    loss.backward()
    optimizer.step()
digest = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in net.parameters())).hexdigest()
print(digest, torch.get_num_threads())
"""
MORE = """
torch.manual_seed(3)
lstm, wide = nn.LSTM(40, 50, batch_first=True), nn.Linear(700, 300)
out = wide(torch.randn(129, 700)).sum() + lstm(torch.randn(16, 20, 40))[0].pow(2).sum()
out.backward()
digest = hashlib.sha256(b"".join(p.grad.numpy().tobytes() for p in [*lstm.parameters(), *wide.parameters()]))
print(digest.hexdigest(), (torch.randn(513, 300) @ torch.randn(300, 257)).sum().item().hex())
"""


def test_everything_heavy_is_imported_already(start):
    kernel = start()

    assert kernel.why_plain is None
    assert isinstance(kernel.manager.provisioner.process, ForkedProcess)
    imported = kernel.run(
        "import sys; print({'torch', 'torchvision', 'numpy', 'playground_ext.fed_avg'} - set(sys.modules))"
    )
    assert imported.strip() == "set()"


def test_it_has_its_own_folder_environment_and_streams(start, tmp_path):
    (tmp_path / "beside.py").write_text("answer = 42")
    (tmp_path / "tmp").mkdir()
    before = os.umask(0o027)
    try:
        kernel = start(env={"MINE": "1", "TMPDIR": str(tmp_path / "tmp"), "TZ": "Asia/Tokyo"}, cwd=str(tmp_path))
    finally:
        os.umask(before)
    show = """
import json, os, signal, sys, tempfile, time
import beside
old = os.umask(0); os.umask(old)
print(json.dumps([os.getcwd(), beside.answer, os.environ["MINE"], sorted(os.environ), tempfile.gettempdir(),
    time.tzname[0], sys.stdin.read() if sys.__stdin__ is None else os.read(0, 9).decode(), __name__, sys.path, old,
    signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, os.getpgrp() == os.getsid(0) == os.getpid()]))
"""
    fresh = start(env={"PLAYGROUND_WARM": "0"}, cwd=str(tmp_path))
    said, plain = json.loads(kernel.run(show)), json.loads(fresh.run(show.replace('os.environ["MINE"]', "1")))

    assert kernel.why_plain is None
    assert said[:3] == [str(tmp_path), 42, "1"]
    assert set(said[3]) - {"MINE", "TMPDIR", "TZ"} == set(plain[3]) - {"PLAYGROUND_WARM", "TMPDIR", "TZ"}
    assert said[4:8] == [str(tmp_path / "tmp"), "JST", "", "__main__"]
    assert said[8] == plain[8]
    assert said[9] == 0o027
    assert said[10:] == [True, True]


def test_it_shares_no_socket_or_file_with_the_zygote(start):
    opened = (
        "import os\nprint(*{os.readlink(f'/proc/self/fd/{f}') for f in os.listdir('/proc/self/fd') if f != '99'"
        " and os.path.lexists(f'/proc/self/fd/{f}')})"
    )
    kernel, other = start(), start()
    zygote = f"/proc/{kernel.zygote}/fd"
    of_the_zygote = {os.readlink(f"{zygote}/{name}") for name in os.listdir(zygote)}

    mine, others = ({name for name in one.run(opened).split() if "socket" in name} for one in (kernel, other))

    assert mine
    assert not mine & of_the_zygote
    assert not mine & others


def test_random_numbers_differ_between_kernels_and_repeat_with_a_seed(start):
    draw = "import random, numpy, torch; print(random.random(), numpy.random.rand(), torch.rand(1).item())"
    one, two = start(), start()

    first, second = one.run(draw).split(), two.run(draw).split()
    assert all(mine != its for mine, its in zip(first, second, strict=True))
    seed = "random.seed(1); numpy.random.seed(1); torch.manual_seed(1);"
    assert one.run(seed + draw) == two.run(seed + draw)


@pytest.mark.parametrize("threads", [None, "2"])
def test_training_is_bit_for_bit_that_of_a_plain_kernel(start, threads):
    env = {} if threads is None else {"OMP_NUM_THREADS": threads}

    forked, plain = start(env=env), start(env=env | {"PLAYGROUND_WARM": "0"})

    assert forked.why_plain is None
    assert plain.why_plain == "PLAYGROUND_WARM=0"
    assert forked.run(TRAIN) == plain.run(TRAIN)
    assert forked.run(MORE) == plain.run(MORE)
    blas = "import hashlib, numpy; a = numpy.random.default_rng(1).random((300, 300)) - 0.5\n"
    blas += "print(hashlib.sha256((a @ a).tobytes()).hexdigest())"
    assert forked.run(blas) == plain.run(blas)


@pytest.mark.parametrize("backend", [None, "agg"])
def test_figures_are_shown_as_in_a_plain_kernel(start, tmp_path, backend):
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 7.5")
    env = {} if backend is None else {"MPLBACKEND": backend}
    draw = "import matplotlib, matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n"
    draw += "print(matplotlib.get_backend(), matplotlib.rcParams['lines.linewidth'])"
    seen = []
    for warm in ("1", "0"):
        kernel = start(env=env | {"PLAYGROUND_WARM": warm}, cwd=str(tmp_path))
        messages: list[tuple[str, str, list[str]]] = []
        kernel.client.execute_interactive(
            draw,
            timeout=60,
            output_hook=lambda message, to=messages: to.append(
                (message["msg_type"], message["content"].get("text", ""), sorted(message["content"].get("data", {})))
            ),
        )
        seen.append([message for message in messages if message[0] in ("stream", "display_data", "error")])

    assert seen[0] == seen[1]
    pictures = [formats for kind, _, formats in seen[0] if kind == "display_data"]
    assert pictures == ([["image/png", "text/plain"]] if backend is None else [])


def test_both_processors_can_be_used(start):
    kernel = start(env={"OMP_NUM_THREADS": "2"})

    said = kernel.run(
        "import torch, os\nbefore = len(os.listdir('/proc/self/task'))\na = torch.rand(400, 400)\n"
        "for _ in range(20): a @ a\nprint(torch.get_num_threads(), len(os.listdir('/proc/self/task')) - before)"
    )
    assert said.split() == ["2", "1"]  # this thread and one more


def test_a_data_loader_may_have_workers(start):
    kernel = start()

    said = kernel.run(
        "import torch\nfrom torch.utils.data import DataLoader, TensorDataset\n"
        "data = TensorDataset(torch.arange(64.0))\n"
        "loader = DataLoader(data, batch_size=8, num_workers=2)\n"
        "print(sum(batch.sum().item() for epoch in range(2) for (batch,) in loader))"
    )

    assert said.strip() == str(float(sum(range(64)) * 2))


def test_an_interrupt_stops_a_torch_loop(start):
    kernel = start()

    request = kernel.client.execute(
        "print('looping')\nimport torch\na = torch.rand(50, 50)\nwhile True: a = (a @ a).tanh()"
    )
    kernel.wait_for(request, "looping")
    time.sleep(0.2)
    kernel.manager.interrupt_kernel()

    assert "KeyboardInterrupt" in kernel.result(request, timeout=10)
    assert kernel.run("print('alive')").strip() == "alive"


def test_an_interrupt_stops_a_blocking_receive(start):
    from playground_ext.bus.server import EmbeddedServer

    with EmbeddedServer() as server:
        kernel = start()
        request = kernel.client.execute(
            "from playground_ext.bus.connection import Connection\n"
            f"c = Connection({server.url!r})\nprint('reading')\n"
            "while True: c.client.xread({'nothing': '0'}, block=1000)"
        )
        kernel.wait_for(request, "reading")
        time.sleep(0.2)
        kernel.manager.interrupt_kernel()

        assert "KeyboardInterrupt" in kernel.result(request, timeout=10)
        assert kernel.run("print(c.client.ping()); c.close()").strip() == "True"


def test_a_restart_gives_a_new_process_at_the_same_address(start):
    kernel = start()
    before, address = kernel.pid, kernel.manager.ip
    kernel.run("mine = 1")

    kernel.manager.restart_kernel(now=True)
    kernel.client.wait_for_ready(timeout=30)

    assert kernel.pid != before
    assert kernel.manager.ip == address
    assert kernel.why_plain is None
    assert kernel.run("print('mine' in globals())").strip() == "False"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import os; os._exit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
    ],
)
def test_how_it_ended_is_known(start, code, status):
    kernel = start()
    process = kernel.manager.provisioner.process

    kernel.client.execute(code)

    assert process.wait(timeout=10) == status
    assert not kernel.manager.is_alive()


def test_an_orderly_shutdown_runs_what_was_registered_for_the_exit(start, tmp_path):
    kernel = start()
    process = kernel.manager.provisioner.process
    kernel.run(f"import atexit, pathlib\natexit.register(pathlib.Path({str(tmp_path / 'bye')!r}).write_text, 'bye')")

    address = kernel.manager.ip
    assert len(glob.glob(f"{address}-*")) == 5

    kernel.manager.shutdown_kernel()

    assert process.wait(timeout=5) == 0
    assert (tmp_path / "bye").read_text() == "bye"
    assert not glob.glob(f"{address}*")


def test_ipykernels_own_launcher_is_forked_as_well(start):
    kernel = start(module="ipykernel_launcher")

    assert kernel.why_plain is None
    assert kernel.run("import sys; print(sys.executable)").strip() == sys.executable
