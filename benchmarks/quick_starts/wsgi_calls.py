"""Call a WSGI application in this process without a server, and serve it with gunicorn."""

import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def call_wsgi(
    app: Callable[..., Any], method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """Call ``app`` (PEP 3333). Return the status and the JSON body of its response."""
    content = b"" if body is None else json.dumps(body).encode()
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost:8000",
        "HTTP_ACCEPT": "application/json",
        "CONTENT_TYPE": "application/json" if content else "",
        "CONTENT_LENGTH": str(len(content)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()},
    }
    statuses = []
    chunks = app(environ, lambda status, _headers, _error=None: statuses.append(status))
    try:
        text = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    return int(statuses[0][:3]), json.loads(text)


def serve_wsgi(name: str, port: int) -> None:
    """Replace this process by gunicorn with one worker, whose threads keep connections open."""
    command = [sys.executable, "-m", "gunicorn", "--workers", "1", "--worker-class", "gthread", "--threads", "4"]
    here = str(Path(__file__).parent)
    os.execv(sys.executable, [*command, "--bind", f"127.0.0.1:{port}", "--pythonpath", here, f"{name}:app"])  # noqa: S606
