"""The service under test: two environments and the database that they share."""

from collections.abc import Iterable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

from tests.stateful.environments import Environment
from tests.stateful.tables import Tables
from tests.support import leaks
from tests.support.databases import Database
from tests.support.faults import assert_no_partial_changes
from tests.support.functions import Response
from tools.operators import audit


class Service:
    """Two environments, tables and a log, used again for each example."""

    def __init__(self, database: Database, log: Path) -> None:
        """Take an empty database, and the file for the log."""
        self.tables = Tables(database)
        self.environments = (Environment(log), Environment(log))
        self._database = database
        self._log = log

    def verify(self, *, now: float, secrets: Iterable[str]) -> None:
        """Check tables against audit log, audit log against log lines, and that no line contains a secret."""
        verified = self.environments[0].run(partial(_verify, self._database, str(self._log)), now=now)
        assert verified, "the environment has crashed"
        assert verified.status == 200, verified.text
        leaks.remember(*secrets)
        found = leaks.lines_with_secrets(self._log.read_text())
        leaks.forget()
        assert not found, found

    def renew(self) -> None:
        """Forget everything."""
        for environment in self.environments:
            environment.forget()
        self.tables.empty()
        self._log.write_text("")

    def stop(self) -> None:
        """Kill the environments."""
        for environment in self.environments:
            environment.stop()
        self.tables.close()


def _verify(database: Database, log: str) -> Response:
    """Return what ``uv run audit verify`` finds as a response. It runs in an environment, which has the right clock."""
    assert_no_partial_changes(database)
    with redirect_stdout(StringIO()) as findings:
        status = audit.main(["verify", log])
    return Response(500 if status else 200, {}, findings.getvalue())
