"""Workers that cannot be started. (What they do when they can is test_runtime's subject.)"""

import asyncio
import socket

import pytest

from local_runtime.template import Function
from local_runtime.workers import FunctionCrashed, WorkerFactory, WorkerPool, worker_factory

pytestmark = pytest.mark.local_runtime


@pytest.fixture
def function(tmp_path):
    return Function(name="F", folder=tmp_path, handler="app.handler", timeout=1, memory=128, environment={})


def test_without_the_parent_process_a_function_has_crashed(function, tmp_path):
    runtime, parent = socket.socketpair()
    parent.close()
    with runtime, pytest.raises(FunctionCrashed, match="no worker can be started"):
        asyncio.run(WorkerFactory(runtime, tmp_path).start(function))


def test_start_of_a_function_whose_import_hangs_fails(function, tmp_path, monkeypatch):
    timeout = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", lambda seconds: timeout(seconds / 30))  # time flies
    (tmp_path / "app.py").write_text("import time\ntime.sleep(1000)\n")
    with worker_factory(tmp_path) as factory, pytest.raises(FunctionCrashed, match="import took too long"):
        asyncio.run(factory.start(function))


def test_a_start_that_nobody_waits_for_any_more_leaves_no_process(function, tmp_path):
    """A change of the code while the libraries are still loading."""

    async def start_and_change_ones_mind(factory):
        pool = WorkerPool(factory, function)
        warming_up = asyncio.create_task(pool.warm_up())
        await asyncio.sleep(0)  # it has begun
        warming_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await warming_up
        pool.close()

    with worker_factory(tmp_path) as factory:  # ends only when every worker has
        asyncio.run(start_and_change_ones_mind(factory))
