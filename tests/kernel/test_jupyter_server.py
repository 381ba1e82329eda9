"""A running Jupyter server, reached over REST and websocket as a browser does it, and killed."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from playground_ext.kernel.specs import install

from .conftest import gone, kill

ENTRY_POINT = """[jupyter_client.kernel_provisioners]
playground-zygote = playground_ext.kernel.provisioner:ZygoteProvisioner
"""


class Server:
    """`jupyter server` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        install(prefix=folder, warm=True)
        points = folder / "points" / "points-1.0.dist-info"
        points.mkdir(parents=True)
        (points / "METADATA").write_text("Metadata-Version: 2.1\nName: points\nVersion: 1.0\n")
        (points / "entry_points.txt").write_text(ENTRY_POINT)
        self.token = secrets.token_hex(8)
        environment = {
            **os.environ,
            "JUPYTER_PATH": str(folder / "share" / "jupyter"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "PYTHONPATH": f"{os.environ['PYTHONPATH']}:{folder / 'points'}",
            "PYTHONWARNINGS": "ignore",
        }
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        options = ["--allow-root", "--no-browser", f"--IdentityProvider.token={self.token}"]
        options += [f"--port={self.address.partition(':')[2]}", "--ip=127.0.0.1", "--ServerApp.port_retries=0"]
        with (folder / "server.log").open("w") as log:
            command = [sys.executable, "-m", "jupyter_server", *options]
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stderr=log, stdout=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.ask("GET", "status")
                return
            except OSError:
                assert time.monotonic() < deadline, (folder / "server.log").read_text()
                time.sleep(0.1)

    def ask(self, method: str, path: str, **body: str) -> dict[str, str]:
        request = urllib.request.Request(
            f"http://{self.address}/api/{path}",
            method=method,
            data=json.dumps(body).encode() if body else None,
            headers={"Authorization": f"token {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=90) as response:
            return json.loads(response.read() or "{}")

    async def execute(self, kernel: str, code: str) -> str:
        url = f"ws://{self.address}/api/kernels/{kernel}/channels?token={self.token}"
        channel = await websocket_connect(url, connect_timeout=30)
        stream = channel.protocol.stream
        try:
            return await self.answer(channel, code)
        finally:
            channel.close()
            async with asyncio.timeout(10):
                while not stream.closed():  # an open socket would outlive its loop
                    await asyncio.sleep(0.01)

    async def answer(self, channel: WebSocketClientConnection, code: str) -> str:
        header = {"msg_id": secrets.token_hex(8), "msg_type": "execute_request", "session": "s", "username": "u"}
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await channel.write_message(json.dumps(message))
        said = ""
        while True:
            answer = json.loads(await asyncio.wait_for(channel.read_message(), 60))
            if answer["parent_header"].get("msg_id") == header["msg_id"]:
                said += answer["content"].get("text", "") + answer["content"].get("ename", "")
                if answer["content"].get("execution_state") == "idle":
                    return said

    def run(self, kernel: str, code: str) -> str:
        return asyncio.run(self.execute(kernel, code))


@pytest.fixture
def server(runtime, tmp_path) -> Iterator[Server]:
    running = Server(tmp_path)
    yield running
    running.process.kill()
    running.process.wait()


def test_a_kernel_over_rest_and_websocket_and_nothing_left_when_the_server_is_killed(server):
    assert "playground-collaborator" in server.ask("GET", "kernelspecs")["kernelspecs"]
    kernel = server.ask("POST", "kernels", name="playground-collaborator")["id"]
    who = "import os, sys; print(os.getpid(), os.getppid(), 'torch' in sys.modules)"

    pid, zygote, imported = server.run(kernel, who).split()
    assert imported == "True"
    assert "playground_ext.kernel.warm_up" in Path(f"/proc/{zygote}/cmdline").read_text()

    server.ask("POST", f"kernels/{kernel}/restart")
    restarted, again, _ = server.run(kernel, who).split()
    assert restarted != pid
    assert again == zygote

    async def interrupt() -> str:
        running = asyncio.create_task(server.execute(kernel, "import time; time.sleep(60)"))
        await asyncio.sleep(1)
        await asyncio.to_thread(server.ask, "POST", f"kernels/{kernel}/interrupt")
        return await running

    assert "KeyboardInterrupt" in asyncio.run(interrupt())

    other = server.ask("POST", "kernels", name="playground-aggregator")["id"]
    second = server.run(other, who).split()[0]
    server.ask("DELETE", f"kernels/{other}")
    assert gone(int(second))
    server.process.kill()
    assert gone(int(restarted))
    assert gone(int(zygote))


def test_a_kernel_that_is_killed_is_started_again_by_the_server(server):
    kernel = server.ask("POST", "kernels", name="playground-host")["id"]
    before = int(server.run(kernel, "import os; print(os.getpid())"))

    kill(before)
    assert gone(before)
    after = before
    for _ in range(100):  # the server looks at its kernels every three seconds
        try:
            after = int(server.run(kernel, "import os; print(os.getpid())"))
            break
        except Exception:
            continue

    assert after != before
