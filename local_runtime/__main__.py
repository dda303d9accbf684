"""``python -m local_runtime``: serve the template.yaml of the current folder."""

import asyncio
import functools
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn

from local_runtime.cloudformation import TemplateError
from local_runtime.gateway import Gateway, Service
from local_runtime.hosts import host_names
from local_runtime.mailbox import PAGE_PATH, MailboxPage, read_key
from local_runtime.ports import PortInUse, listen
from local_runtime.project import Project
from local_runtime.reloading import watch
from local_runtime.template import Template, load_template
from local_runtime.terminal import ignores_hangup, tolerate_lost_output, wait_for_hangup
from local_runtime.workers import WorkerFactory, worker_factory

_log = logging.getLogger("local_runtime")

#: Seconds that running requests have to finish when the runtime is stopped.
_SHUTDOWN_TIMEOUT: Final = 1
#: Bytes of request line and headers. The authorizer, not the HTTP server, has to reject a token that is too long.
_MAX_HEADER_BYTES: Final = 256 * 1024
_MAX_PORT: Final = 65535


def main() -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP, or until the terminal is closed. Return the exit status.

    ``PORT`` is the port to listen on (8000). ``DATA_DIR`` is the folder for the functions' data (``.local``).
    """
    tolerate_lost_output()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    for library in ("uvicorn", "watchfiles"):
        logging.getLogger(library).setLevel(logging.WARNING)
    path = Path("template.yaml").absolute()
    data_dir = Path(os.environ.get("DATA_DIR") or ".local").absolute()
    try:
        project = Project.load(path.parent)
        template = load_template(path)
        project.require_functions(function.name for function in template.functions)
        sockets = listen(_port(), command=f"PORT={{}} {project.command}")
        _require_writable(data_dir)
        project.require_valid_data(data_dir)
    except (TemplateError, PortInUse, OSError, ValueError) as error:
        _log.error("%s", error)
        return 1
    for name in filter(None, (project.origins_variable, project.url_variable)):
        # The functions get these variables. Their default is set here because the port is known only now.
        os.environ.setdefault(name, f"http://localhost:{sockets[0].getsockname()[1]}")
    with worker_factory(data_dir, preload=project.preload, shell_variables=project.shell_variables) as factory:
        asyncio.run(_serve(path, project, template, factory, sockets, data_dir=data_dir))
    return 0


def _require_writable(data_dir: Path) -> None:
    """Create the folder and write to it. Otherwise a wrong ``DATA_DIR`` would show at the first request.

    Raises:
        ValueError: the folder's path is not UTF-8, or the current user cannot write to the folder.

    """
    try:
        str(data_dir).encode()
    except UnicodeEncodeError:
        # SQLite opens only paths in UTF-8.
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
    if not text.isdecimal() or int(text) > _MAX_PORT:
        message = f"PORT must be a number from 0 (any free port) to {_MAX_PORT}, not {text}"
        raise ValueError(message)
    return int(text)


async def _serve(
    path: Path,
    project: Project,
    template: Template,
    factory: WorkerFactory,
    sockets: list[socket.socket],
    *,
    data_dir: Path,
) -> None:
    key = read_key(data_dir) if project.mailbox else ""
    gateway = Gateway(
        path.parent,
        openapi=path.parent / project.openapi if project.openapi else None,
        mailbox=MailboxPage(data_dir / project.mailbox, key=key) if project.mailbox else None,
        # The developer may give this machine a further name, and serve the pages under it.
        host_names=host_names(os.environ.get(project.origins_variable, "")),
    )
    new_service = functools.partial(Service, factory=factory, after_requests=project.after_requests)
    gateway.replace_service(new_service(template))
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
            # The client chooses the value of X-Forwarded-For.
            proxy_headers=False,
            h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
            timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
        )
    )

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn raises the signal again when it has stopped. Without these handlers the exit status would not be 0.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    if not ignores_hangup():
        signal.signal(signal.SIGHUP, stop)
    _announce(template, sockets, mailbox_key=key)
    background = [
        asyncio.create_task(watch(path, lambda: _reload(path, gateway, new_service))),
        hangup := asyncio.create_task(wait_for_hangup()),
    ]
    hangup.add_done_callback(stop)
    await server.serve(sockets)
    for task in background:
        task.cancel()
    gateway.replace_service(None)


def _reload(path: Path, gateway: Gateway, new_service: Callable[[Template], Service]) -> None:
    try:
        gateway.replace_service(new_service(load_template(path)))
    except TemplateError as error:
        gateway.replace_service(None)
        _log.error("%s", error)
    else:
        _log.info("reloaded")


def _announce(template: Template, sockets: list[socket.socket], *, mailbox_key: str) -> None:
    lines = [
        f"  {route.method:<7} {route.path:<32} {route.function.name:<22} "
        f"{route.authorizer.name if route.authorizer else ''}".rstrip()
        for route in template.routes
    ]
    url = f"http://localhost:{sockets[0].getsockname()[1]}"
    if mailbox_key:
        lines.append(f"Mails: {url}{PAGE_PATH}?key={mailbox_key}")
    _log.info("\n".join([*lines, f"Serving template.yaml on {url} (Ctrl-C ends it)"]))


sys.exit(main())
