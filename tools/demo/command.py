"""``make demo``: serve the project from a data folder of its own, filled with a day of use, until Ctrl-C."""

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from local_runtime.environment import function_environment, parent_environment
from local_runtime.ports import PortInUse, listen
from local_runtime.template import load_template
from tools.attacks.target import PROJECT, TEMPLATE, NotStarted, wait_until_ready, without_settings
from tools.attacks.users import PASSWORD
from tools.demo.users import SECURITY_EMAIL

_DATA_DIR: Final = PROJECT / ".local" / "demo"
#: A folder that has this file is the demo's own. The demo holds the file as a lock.
_LOCK_FILE: Final = "demo.lock"
_LOG_FILE: Final = "runtime.log"


class FolderInUse(Exception):
    """The data folder belongs to something else, or another demo uses it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP. Return the exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=_DATA_DIR, help="emptied at the start (default: .local/demo)")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 8000), help="0: any free port")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with demo_service(options.data_dir.absolute(), options.port) as (url, process):
            _say(instructions(url, options.data_dir))
            return process.wait()
    except KeyboardInterrupt:
        return 0
    except (FolderInUse, NotStarted, PortInUse, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


@contextmanager
def demo_service(data_dir: Path, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Empty and fill the folder, and serve it while the block runs. Yield the service's URL and its process.

    Raises:
        FolderInUse: The folder has other files, or another demo uses it.
        NotStarted: The service did not start.
        PortInUse: Another process listens on the port.

    """
    for listener in listen(port, command="PORT={} make demo"):
        listener.close()  # The service listens later. A port that is in use is reported before the work begins.
    with _own_folder(data_dir), (data_dir / _LOG_FILE).open("ab") as output:
        _say("Filling a data folder with a day of use. This takes about 10 seconds.")
        _fill(data_dir, output)
        process = subprocess.Popen(
            [sys.executable, "-m", "local_runtime"],
            cwd=PROJECT,
            env={**without_settings(os.environ), "PORT": str(port), "DATA_DIR": str(data_dir)},
            stdout=output,
            stderr=output,
        )
        try:
            yield wait_until_ready(process, data_dir / _LOG_FILE), process
        finally:
            process.terminate()
            process.wait()


def instructions(url: str, data_dir: Path) -> str:
    """Return what a user can do with the demo."""
    return f"""
The demo runs until Ctrl-C. Its users, events and one attack are of the last 24 hours.

1. Open {url}
   Log in as    {SECURITY_EMAIL}
   Password     {PASSWORD}
   Press “Add a passkey”, and follow each message between server, browser and authenticator.

2. Open {url}/security.html
   Press “Log in with a passkey alone”: this account has the role “security”.
   The red bars are an attack of six hours ago. Click one of them to see its events.

To give the role to another account, for example one that you register:
   DATA_DIR={_shown(data_dir)} uv run accounts role you@example.com security

To check that the audit log is complete and unchanged:
   DATA_DIR={_shown(data_dir)} uv run audit verify
"""


def _shown(folder: Path) -> Path:
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


@contextmanager
def _own_folder(data_dir: Path) -> Iterator[None]:
    """Empty the folder, or create it, and lock it while the block runs."""
    lock = data_dir / _LOCK_FILE
    if data_dir.exists() and not lock.exists() and any(data_dir.iterdir()):
        message = f"{data_dir} has files that are not of a demo. Choose another folder with --data-dir."
        raise FolderInUse(message)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"Another demo uses {data_dir}. Stop it first, or choose another folder with --data-dir."
            raise FolderInUse(message) from error
        for entry in data_dir.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != lock:
                entry.unlink()
        yield


def _fill(data_dir: Path, output: IO[bytes]) -> None:
    """Run ``tools.demo.day`` with the environment variables of a function. Its clock stays in its process."""
    function = load_template(TEMPLATE).functions[0]
    environment = {
        **parent_environment(os.environ),
        **function_environment(function, shell={}, data_dir=data_dir),
        "BCRYPT_COST": "4",
    }
    del environment["TZ"]  # The day is one of the user's time zone.
    subprocess.run(
        [sys.executable, "-m", "tools.demo.day"], cwd=PROJECT, env=environment, stdout=output, stderr=output, check=True
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
