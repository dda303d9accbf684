# /// script
# requires-python = ">=3.11"
# dependencies = ["aws-sam-cli==1.170.0"]
# ///
"""SAM CLI with changes for this service. ``make sam`` runs ``sam_local.py local start-api``.

SAM runs every function in a container without a writable volume, so functions cannot share a database. This script
changes SAM CLI in five places and then calls its entry point:

- The container of every function gets the Docker volume ``secure-backend-data`` at /mnt/data, the template's DATA_DIR.
- The image with the layer is built once a run instead of once for each function.
- The files of the layer are hashed once a run, too. SAM watches them for changes.
- SAM gets the functions' log line by line. If one chunk has several lines, SAM misses the end and waits a second.
- Containers that SAM leaves behind after an interruption are removed.

The script has an environment of its own (PEP 723, locked in sam_local.py.lock), because SAM CLI pins old versions of
libraries that the functions use. The version of SAM CLI is exact, because the changes concern private names.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

import docker
from samcli.cli.main import cli
from samcli.lib.utils.file_observer import SingletonFileObserver
from samcli.local.docker.container import Container
from samcli.local.docker.lambda_container import LambdaContainer
from samcli.local.docker.lambda_image import LambdaImage

VOLUME = os.environ.get("SAM_LOCAL_VOLUME", "secure-backend-data")


def mount_shared_volume() -> None:
    """Mount the volume in every container."""
    original = LambdaContainer._get_additional_volumes

    def with_volume(runtime: str, debug_options: Any) -> dict[str, dict[str, str]]:
        return {**original(runtime, debug_options), VOLUME: {"bind": "/mnt/data", "mode": "rw"}}

    LambdaContainer._get_additional_volumes = staticmethod(with_volume)


def build_each_image_once() -> None:
    """Skip the build of an image that this run has already built."""
    original = LambdaImage._build_image
    built: set[str] = set()

    def build_once(self: LambdaImage, base_image: str, docker_tag: str, *rest: Any, **options: Any) -> None:
        if docker_tag not in built:
            original(self, base_image, docker_tag, *rest, **options)
            built.add(docker_tag)

    LambdaImage._build_image = build_once


def watch_each_folder_once() -> None:
    """Skip a folder that SAM already watches. SAM hashes all its files, and every function has the same layer."""
    original = SingletonFileObserver.watch

    def watch_once(self: SingletonFileObserver, resource: str, group: str) -> None:
        if resource not in self._observed_paths_per_group[group]:
            original(self, resource, group)

    SingletonFileObserver.watch = watch_once


def read_logs_line_by_line() -> None:
    """Pass logs to SAM line by line, because SAM looks for the end of an invocation only at the start of a chunk."""
    original = Container._handle_data_writing

    def write_lines(stream: Any, data: bytes, event: Any) -> None:
        for line in data.splitlines(keepends=True):
            original(stream, line, event)

    Container._handle_data_writing = staticmethod(write_lines)


def record_containers() -> Callable[[], None]:
    """Return a function that removes the containers of this run. SAM leaves some of them when it is interrupted."""
    original = Container.create
    started: list[str] = []

    def create(self: Container, *arguments: Any, **options: Any) -> str:
        container_id: str = original(self, *arguments, **options)
        started.append(container_id)
        return container_id

    def remove_all() -> None:
        for container_id in started:
            with contextlib.suppress(docker.errors.NotFound):
                docker.from_env().containers.get(container_id).remove(force=True)

    Container.create = create
    return remove_all


def main() -> None:
    """Run SAM CLI with this script's arguments."""
    mount_shared_volume()
    build_each_image_once()
    watch_each_folder_once()
    read_logs_line_by_line()
    remove_containers = record_containers()
    try:
        cli(sys.argv[1:], prog_name="sam")
    finally:
        remove_containers()


if __name__ == "__main__":
    os.environ.setdefault("SAM_CLI_TELEMETRY", "0")
    main()
