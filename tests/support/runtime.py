"""The real local runtime, as a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[2]

#: Seconds that a start may take on a busy machine; it takes about two.
_PATIENCE = 60
_READY = re.compile(r"Serving \S+ on (http://localhost:\d+)")


@contextmanager
def running_service(data_dir: Path, *, project: Path = PROJECT, **env: str) -> Iterator[str]:
    """Serve ``project``'s template.yaml on a free port and yield the base URL.

    Everything that the runtime and the functions print goes to ``data_dir / "runtime.log"``. bcrypt's cost is 4 unless
    ``env``, the further environment variables, say otherwise.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = data_dir / "runtime.log"
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "DATA_DIR": str(data_dir),
        "PORT": "0",
        "BCRYPT_COST": "4",
        **env,
    }
    # Behind what an earlier run over the same data has written.
    start = len(log.read_text(errors="replace")) if log.exists() else 0
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [sys.executable, "-m", "local_runtime"], cwd=project, env=environment, stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield _base_url(process, log, start=start)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(_PATIENCE)


def _base_url(process: subprocess.Popen[bytes], log: Path, *, start: int) -> str:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if match := _READY.search(log.read_text(errors="replace")[start:]):
            return match[1]
        if process.poll() is not None:
            break
        time.sleep(0.05)
    message = f"the local runtime did not start:\n{log.read_text()}"
    raise RuntimeError(message)
