# /// script
# requires-python = ">=3.11"
# dependencies = ["aws-sam-cli==1.170.0"]
# ///
"""SAM CLI, with what this service needs of it locally: ``make sam`` calls this as ``sam_local.py local start-api``.

SAM gives every function a container of its own and mounts nothing writable into it, so there is no place for a database
that two functions share. This starts SAM CLI's own entry point after changing three things in it:

- every function's container gets the Docker volume ``secure-backend-data`` at /mnt/data, the template's DATA_DIR;
- the image with the layer is built once a run, and not once for each function;
- the end of a function's log is seen at once; SAM overlooks it when one chunk has several lines, and waits a second.

A script with an environment of its own (PEP 723, locked in sam_local.py.lock), because SAM CLI pins old versions of
libraries that the functions use. The pin is exact: the places changed here are not SAM's public interface.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

import docker
from samcli.cli.main import cli
from samcli.local.docker.container import Container
from samcli.local.docker.lambda_container import LambdaContainer
from samcli.local.docker.lambda_image import LambdaImage

VOLUME = os.environ.get("SAM_LOCAL_VOLUME", "secure-backend-data")


def mount_shared_volume() -> None:
    """Give every container the volume."""
    original = LambdaContainer._get_additional_volumes

    def with_volume(runtime: str, debug_options: Any) -> dict[str, dict[str, str]]:
        return {**original(runtime, debug_options), VOLUME: {"bind": "/mnt/data", "mode": "rw"}}

    LambdaContainer._get_additional_volumes = staticmethod(with_volume)


def build_each_image_once() -> None:
    """Skip a build whose result is there from this run."""
    original = LambdaImage._build_image
    built: set[str] = set()

    def build_once(self: LambdaImage, base_image: str, docker_tag: str, *rest: Any, **options: Any) -> None:
        if docker_tag not in built:
            original(self, base_image, docker_tag, *rest, **options)
            built.add(docker_tag)

    LambdaImage._build_image = build_once


def read_logs_line_by_line() -> None:
    """Hand SAM one line at a time: it looks for the end of an invocation at the start of a chunk only."""
    original = Container._handle_data_writing

    def write_lines(stream: Any, data: bytes, event: Any) -> None:
        for line in data.splitlines(keepends=True):
            original(stream, line, event)

    Container._handle_data_writing = staticmethod(write_lines)


def remember_containers() -> Callable[[], None]:
    """Return a function that removes what this run has started; SAM leaves some behind when it is interrupted."""
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
    read_logs_line_by_line()
    remove_containers = remember_containers()
    try:
        cli(sys.argv[1:], prog_name="sam")
    finally:
        remove_containers()


if __name__ == "__main__":
    os.environ.setdefault("SAM_CLI_TELEMETRY", "0")
    main()
