"""``transaction()``, ``read()`` and ``single_statement()``: the only way in which a service reaches the database.

All of them record the security events of their body in the audit log (``audit_log.writer``), and retry after a conflict
(``database.retries``).
"""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from auth_common.audit_log.writer import run_audited
from auth_common.database.retries import run_read, run_single_statement, run_transaction

_T = TypeVar("_T")


def transaction(body: Callable[[Connection], _T]) -> _T:
    """Run ``body`` in a transaction, commit, and return its result. Security events of ``body`` commit with it.

    ``body`` runs again if the database reports a conflict, so it must change only the database. An exception of
    ``body`` rolls back and is raised again.

    Raises:
        AuditWriterNotInstalled: The function or command was created without ``install_audit_writer()``.
        DatabaseUnavailable: The database is away, slow, locked or full, or every try met a conflict.
        sqlalchemy.exc.IntegrityError: A constraint rejects the change. The store of ``body`` knows which one to expect.

    """
    return run_audited(body, run=run_transaction)


def read(body: Callable[[Connection], _T]) -> _T:
    """Run ``body``, which only reads, and return its result. Each statement costs one round trip.

    Raises:
        AuditWriterNotInstalled: As for ``transaction``.
        DatabaseUnavailable: As for ``transaction``.

    """
    return run_audited(body, run=run_read, read_only=True)


def single_statement(body: Callable[[Connection], _T]) -> _T:
    """Run ``body``, which executes one statement that writes, and return its result. It costs one round trip.

    The statement is its own transaction: without BEGIN and COMMIT, it is committed as it ends. ``body`` runs again only
    if the database has rejected the statement. If the connection is lost, the statement may have been committed.

    Raises:
        AuditWriterNotInstalled: As for ``transaction``.
        DatabaseUnavailable: As for ``transaction``. The statement may have been committed.
        sqlalchemy.exc.IntegrityError: As for ``transaction``.

    """
    return run_audited(body, run=run_single_statement, read_only=True)
