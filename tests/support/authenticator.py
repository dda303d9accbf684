"""Run ``authenticator serve`` in its own process."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running_authenticator(data_dir: Path, origin: str) -> Iterator[str]:
    """Serve the authenticator for a page at ``origin``, with its keys in ``data_dir``, and yield its URL."""
    command = [str(Path(sys.executable).parent / "authenticator"), "--origin", origin, "serve", "--port", "0"]
    environment = {**os.environ, "DATA_DIR": str(data_dir)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            announced = re.search(r"on (http://localhost:\d+) ", process.stdout.readline())
            assert announced
            yield announced[1]
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0
