"""``python -m local_runtime``: serve template.yaml of the current folder. ``make run`` calls this."""

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Final

import uvicorn

from auth_common.errors import Misconfigured
from auth_common.keys.shared_secrets import check_secret_files
from local_runtime.cloudformation import TemplateError
from local_runtime.gateway import Gateway, Service
from local_runtime.hosts import host_names
from local_runtime.ports import PortInUse, listen
from local_runtime.reloading import watch
from local_runtime.template import Template, load_template
from local_runtime.terminal import ignores_hangup, tolerate_lost_output, wait_for_hangup
from local_runtime.workers import WorkerFactory, worker_factory

_log = logging.getLogger("local_runtime")

#: Seconds that requests under way have when the runtime is told to end.
_FAREWELL: Final = 1
#: Bytes of request line and headers: enough for an over-long token to reach the authorizer, and be refused there.
_HEADER_LIMIT: Final = 256 * 1024
_HIGHEST_PORT: Final = 65535


def main() -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP, or until the terminal is closed. Return the exit status."""
    tolerate_lost_output()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    for chatty in ("uvicorn", "watchfiles"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    path = Path("template.yaml").absolute()
    data_dir = Path(os.environ.get("DATA_DIR") or ".local").absolute()
    try:
        template = load_template(path)
        sockets = listen(_port())
        _require_writable(data_dir)
        check_secret_files(data_dir)
    except (TemplateError, PortInUse, Misconfigured, OSError, ValueError) as error:
        _log.error("%s", error)
        return 1
    # Passkeys are bound to the origin of the page that uses them, and only now is the port known.
    os.environ.setdefault("WEBAUTHN_ORIGINS", f"http://localhost:{sockets[0].getsockname()[1]}")
    with worker_factory(data_dir) as factory:
        asyncio.run(_serve(path, template, factory, sockets))
    return 0


def _require_writable(data_dir: Path) -> None:
    """Make the folder, and write to it, so that the reason of a failure is seen before the first request.

    Raises:
        ValueError: it is not a folder that this user can write to, or SQLite cannot open a file there.

    """
    try:
        str(data_dir).encode()
    except UnicodeEncodeError:
        message = f"DATA_DIR must be a path in UTF-8, and {str(data_dir)!a} is not"
        raise ValueError(message) from None
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        message = f"DATA_DIR must be a folder that you can write to, and {data_dir} is not: {error.strerror}"
        raise ValueError(message) from error


def _port() -> int:
    text = os.environ.get("PORT") or "8000"
    if not text.isdecimal() or int(text) > _HIGHEST_PORT:
        message = f"PORT is a number from 0 (any free port) to {_HIGHEST_PORT}, not {text}"
        raise ValueError(message)
    return int(text)


async def _serve(path: Path, template: Template, factory: WorkerFactory, sockets: list[socket.socket]) -> None:
    # A developer's own name for this machine is where the pages are too.
    gateway = Gateway(path.parent, host_names=host_names(os.environ["WEBAUTHN_ORIGINS"]))
    service = Service(template, factory)
    gateway.replace_service(service)
    server = uvicorn.Server(
        uvicorn.Config(
            gateway,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            # X-Forwarded-For is the client's word.
            proxy_headers=False,
            h11_max_incomplete_event_size=_HEADER_LIMIT,
            timeout_graceful_shutdown=_FAREWELL,
        )
    )

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn passes the signal on to these when it has ended; without them the exit status would not be 0.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    if not ignores_hangup():
        signal.signal(signal.SIGHUP, stop)
    _announce(template, sockets)
    beside = [
        asyncio.create_task(watch(path, lambda: _reload(path, gateway, factory))),
        asyncio.create_task(service.run_scheduled()),
        hangup := asyncio.create_task(wait_for_hangup()),
    ]
    hangup.add_done_callback(stop)
    await server.serve(sockets)
    for task in beside:
        task.cancel()
    gateway.replace_service(None)


def _reload(path: Path, gateway: Gateway, factory: WorkerFactory) -> None:
    try:
        gateway.replace_service(Service(load_template(path), factory))
    except TemplateError as error:
        gateway.replace_service(None)
        _log.error("%s", error)
    else:
        _log.info("reloaded")


def _announce(template: Template, sockets: list[socket.socket]) -> None:
    lines = [
        f"  {route.method:<7} {route.path:<32} {route.function.name:<22} "
        f"{route.authorizer.name if route.authorizer else ''}".rstrip()
        for route in template.routes
    ]
    url = f"http://localhost:{sockets[0].getsockname()[1]}"
    _log.info("\n".join([*lines, f"Serving template.yaml on {url} (Ctrl-C ends it)"]))


sys.exit(main())
