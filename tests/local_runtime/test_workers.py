"""Workers that cannot start. test_runtime.py tests running workers."""

import asyncio
import socket

import pytest

from local_runtime.template import Function
from local_runtime.workers import FunctionCrashed, WorkerFactory, WorkerPool, worker_factory

pytestmark = pytest.mark.local_runtime


@pytest.fixture
def function(tmp_path):
    return Function(name="F", folder=tmp_path, handler="app.handler", timeout=1, memory=128, environment={})


def test_worker_without_the_parent_process_cannot_start(function, tmp_path):
    runtime, parent = socket.socketpair()
    parent.close()
    with runtime, pytest.raises(FunctionCrashed, match="no worker can be started"):
        asyncio.run(WorkerFactory(runtime, tmp_path).start(function))


def test_worker_whose_import_takes_too_long_is_killed(function, tmp_path, monkeypatch):
    timeout = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", lambda seconds: timeout(seconds / 30))  # shortens every timeout
    (tmp_path / "app.py").write_text("import time\ntime.sleep(1000)\n")
    with worker_factory(tmp_path) as factory, pytest.raises(FunctionCrashed, match="import took too long"):
        asyncio.run(factory.start(function))


def test_cancelled_start_of_a_worker_leaves_no_process(function, tmp_path):
    """As after a change of the code while the parent process still imports the libraries."""

    async def start_and_cancel(factory):
        pool = WorkerPool(factory, function)
        warming_up = asyncio.create_task(pool.warm_up())
        await asyncio.sleep(0)  # the task has started
        warming_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await warming_up
        pool.close()

    with worker_factory(tmp_path) as factory:  # the context ends when all workers have ended
        asyncio.run(start_and_cancel(factory))
