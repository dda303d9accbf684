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
    """Two environments, their tables and their log, reused for each example."""

    def __init__(self, database: Database, log: Path) -> None:
        """Use an empty database, and a file for the log."""
        self.tables = Tables(database)
        self.environments = (Environment(log), Environment(log))
        self._database = database
        self._log = log

    def verify(self, *, now: float, secrets: Iterable[str]) -> None:
        """Compare tables with audit log and audit log with log lines, and require that no line contains a secret."""
        verified = self.environments[0].run(partial(_verify, self._database, str(self._log)), now=now)
        assert verified, "the environment has crashed"
        assert verified.status == 200, verified.text
        leaks.remember(*secrets)
        found = leaks.lines_with_secrets(self._log.read_text())
        leaks.forget()
        assert not found, found

    def renew(self) -> None:
        """Delete all data, and make the next job of each environment a cold start."""
        for environment in self.environments:
            environment.reset()
        self.tables.empty()
        self._log.write_text("")

    def stop(self) -> None:
        """Stop the environments."""
        for environment in self.environments:
            environment.stop()
        self.tables.close()


def _verify(database: Database, log: str) -> Response:
    """Return the findings of ``uv run audit verify`` as a response. Run it in an environment, for its clock."""
    assert_no_partial_changes(database)
    with redirect_stdout(StringIO()) as findings:
        status = audit.main(["verify", log])
    return Response(500 if status else 200, {}, findings.getvalue())
