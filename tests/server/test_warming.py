"""Kernels of the first federation find a zygote that is warm."""

from __future__ import annotations

import asyncio
import time

from jupyter_client.manager import AsyncKernelManager

from playground_ext.kernel.listing import stop_zygotes, zygotes
from playground_ext.kernel.process import ForkedProcess
from playground_ext.kernel.specs import install


async def test_the_list_of_templates_warms_the_zygote_that_the_roles_kernels_then_ask(api, monkeypatch):
    monkeypatch.delenv("PLAYGROUND_WARM")
    install(user=True, warm=True)  # pytest-jupyter hides this environment's kernels
    try:
        for _ in range(2):  # two pages
            assert (await api("GET", "templates"))[0] == 200
        deadline = time.monotonic() + 60
        while not (found := await asyncio.to_thread(zygotes)):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        manager = AsyncKernelManager(kernel_name="playground-collaborator")
        await manager.start_kernel()
        try:
            assert isinstance(manager.provisioner.process, ForkedProcess)
            now = await asyncio.to_thread(zygotes)
            assert [one.status.pid for one in now] == [one.status.pid for one in found]
            assert len(found) == 1  # for all roles
        finally:
            await manager.shutdown_kernel(now=True)
    finally:
        await asyncio.to_thread(stop_zygotes)


async def test_nothing_is_warmed_where_kernels_are_to_be_ordinary_processes(api):
    assert (await api("GET", "templates"))[0] == 200  # PLAYGROUND_WARM=0, see conftest
    await asyncio.sleep(0.3)

    assert await asyncio.to_thread(zygotes) == []
