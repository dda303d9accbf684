import errno
import os
import socket
import sys
from contextlib import nullcontext

import pytest

from local_runtime.ports import PortInUse, listen
from tests.support.runtime import failed_start

pytestmark = pytest.mark.local_runtime

COMMAND = "PORT={} make run"


@pytest.fixture
def taken():
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def sockets():
    """The sockets of a runtime."""
    sockets = listen(0, command=COMMAND)
    yield sockets
    close(sockets)


def close(sockets):
    for open_socket in sockets:
        open_socket.close()


def test_listen_opens_one_port_of_localhost_only(sockets):
    addresses = [open_socket.getsockname()[0] for open_socket in sockets]
    assert addresses[0] == "127.0.0.1"
    assert set(addresses) <= {"127.0.0.1", "::1"}
    assert len({open_socket.getsockname()[1] for open_socket in sockets}) == 1


def test_accepted_connection_sends_small_responses_at_once(sockets):
    """Nagle's algorithm would delay each request after the first of a connection by 40 ms."""
    for listener in sockets:
        with socket.create_connection(listener.getsockname()[:2]):
            connection, _ = listener.accept()
            with connection:
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_port_in_use_names_the_process_and_the_command_that_ends_it(taken):
    with pytest.raises(PortInUse) as error:
        listen(taken, command=COMMAND)
    text = str(error.value)
    assert f"Port {taken} is in use by process {os.getpid()}: " in text
    assert f"kill {os.getpid()}\n" in text
    assert text.endswith(f"PORT={taken + 1} make run")


def test_port_in_use_only_on_ipv6_is_an_error():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server, pytest.raises(PortInUse):
        listen(server.getsockname()[1], command=COMMAND)


@pytest.fixture
def taken_by_another_user():
    """A port whose process cannot be found, because its socket is in transit between two processes."""
    here, there = socket.socketpair()
    with here, there:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            socket.send_fds(here, [b"-"], [server.fileno()])
        yield port


def install_lsof(folder, monkeypatch, output):
    lsof = folder / "lsof"
    lsof.write_text(f"#!{sys.executable}\nprint({output!r}, end='')\n")
    lsof.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize("has_lsof", [False, True])
def test_port_in_use_by_an_unknown_process_names_none(tmp_path, monkeypatch, taken_by_another_user, has_lsof):
    monkeypatch.setenv("PATH", "/nonexistent")
    if has_lsof:
        install_lsof(tmp_path, monkeypatch, "")
    with pytest.raises(PortInUse) as error:
        listen(taken_by_another_user, command=COMMAND)
    assert "kill" not in str(error.value)
    assert f"PORT={taken_by_another_user + 1} make run" in str(error.value)


def test_port_in_use_without_proc_names_the_process_by_lsof(tmp_path, monkeypatch, taken_by_another_user):
    install_lsof(tmp_path, monkeypatch, "p4711\ncnode\nf21\n")
    with pytest.raises(PortInUse, match="process 4711: node\n"):
        listen(taken_by_another_user, command=COMMAND)


@pytest.mark.parametrize(("missing", "number"), [({socket.AF_INET6}, 1), ({socket.AF_INET, socket.AF_INET6}, 0)])
def test_listen_without_an_address_family_uses_the_other(monkeypatch, missing, number):
    create_server = socket.create_server

    def create_if_supported(address, *, family, **options):
        if family in missing:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return create_server(address, family=family, **options)

    monkeypatch.setattr(socket, "create_server", create_if_supported)
    with nullcontext() if number else pytest.raises(OSError, match="assign"):
        sockets = listen(0, command=COMMAND)
        close(sockets)
        assert len(sockets) == number


def test_runtime_with_an_invalid_or_used_port_ends_with_the_reason(tmp_path, taken):
    reasons = {str(taken): f"kill {os.getpid()}", **dict.fromkeys(["65536", "²"], "PORT must be a number from 0")}
    for port, reason in reasons.items():
        status, output = failed_start(env={"DATA_DIR": str(tmp_path / "data"), "PORT": port})
        assert status == 1, port
        assert reason in output
        assert "Traceback" not in output
    assert not (tmp_path / "data").exists()
