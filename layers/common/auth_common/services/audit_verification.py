"""Has the audit log been tampered with? Every chain from its first record on, and every line that vouches for one.

A record that was changed or moved no longer has the MAC of its place; where one was deleted, the sequence has a gap.
What the chains alone cannot show is that the end of one was cut off, or that a whole chain is gone. The lines of the
service's log can: each carries the MAC that its record had.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.db import audit_events as store
from auth_common.db.audit_events import AuditRow
from auth_common.db.engine import read
from auth_common.security.audit_protection import FIRST_PREVIOUS_MAC, chain_mac
from auth_common.services.audit import columns_agree, has_mac, is_intact
from auth_common.settings import settings

#: What a database that does not check types (SQLite), and a record that is no record, can raise.
_UNREADABLE: Final = (AttributeError, KeyError, RecursionError, TypeError, ValueError)
#: In a chain with more faults than this, nobody asks which record came from where.
_MOST_MOVED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What a line of the log says of a record."""

    chain_id: UUID
    sequence: int
    #: Hexadecimal.
    mac: str
    #: Milliseconds since the epoch.
    time: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A place that is not as it was written."""

    chain_id: UUID
    sequence: int
    #: In words.
    fault: str

    def __str__(self) -> str:
        """Return which record, and what is wrong with it."""
        return f"chain {self.chain_id}, record {self.sequence}: {self.fault}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at, and what was found."""

    chains: int
    records: int
    anchors: int
    findings: list[Finding]


def verify_audit_log(anchors: Iterable[Anchor] = ()) -> Verification:
    """Check every chain, and every anchor that retention has not overtaken.

    Raises:
        DatabaseUnavailable: the log could not be read.

    """
    oldest = (datetime.now(UTC) - timedelta(days=settings().audit_retention_days)).timestamp() * 1000
    vouched: dict[UUID, dict[int, str]] = {}
    contradictions: list[Finding] = []
    for anchor in anchors:
        if anchor.time < oldest:
            continue
        # No secret: the log shows both MACs.
        if vouched.setdefault(anchor.chain_id, {}).setdefault(anchor.sequence, anchor.mac) != anchor.mac:
            contradictions.append(Finding(anchor.chain_id, anchor.sequence, "has two lines that contradict each other"))

    def check(connection: Connection) -> Verification:
        findings = list(contradictions)
        records = 0
        chain_ids = store.select_chain_ids(connection)
        for chain_id in chain_ids:
            chain = _Chain(chain_id, vouched.get(chain_id, {}))
            try:
                for row in store.select_chain(connection, chain_id=chain_id):
                    chain.check(row)
            except _UNREADABLE:
                findings.append(Finding(chain_id, chain.next, "or one soon after it cannot be read at all"))
                continue
            records += chain.records
            findings += chain.findings()
        for chain_id in vouched.keys() - set(chain_ids):
            findings += _Chain(chain_id, vouched[chain_id]).findings()
        return Verification(len(chain_ids), records, sum(map(len, vouched.values())), findings)

    return read(check)


class _Chain:
    """One chain, while its records pass by in their order."""

    def __init__(self, chain_id: UUID, vouched: dict[int, str]) -> None:
        self._id = chain_id
        #: By sequence, the MACs that lines of the log know.
        self._vouched = dict(vouched)
        self.records = 0
        self.next = 0
        self._previous: bytes | None = FIRST_PREVIOUS_MAC
        self._gaps: list[range] = []
        #: Records that do not fit, each with the MAC that stands before it.
        self._suspects: list[tuple[AuditRow, bytes | None]] = []
        self._replaced: list[int] = []
        self._unchecked: list[int] = []

    def check(self, row: AuditRow) -> None:
        """Look at the next record."""
        self.records += 1
        if row.sequence < 0:
            self._suspects.append((row, None))
            return
        if row.sequence > self.next:
            self._gaps.append(range(self.next, row.sequence))
            # What was deleted may have left its MAC in a line of the log.
            line = self._vouched.get(row.sequence - 1)
            self._previous = bytes.fromhex(line) if line else None
        if self._previous is None:
            self._unchecked.append(row.sequence)
        elif not is_intact(row, self._previous):
            self._suspects.append((row, self._previous))
        if self._vouched.pop(row.sequence, row.mac.hex()) != row.mac.hex():
            self._replaced.append(row.sequence)
        self.next = row.sequence + 1
        self._previous = row.mac

    def findings(self) -> list[Finding]:
        """Return what is wrong, in the order of the chain."""
        faults = dict.fromkeys(self._unchecked, "cannot be checked, for the one before it is missing")
        faults |= dict(self._suspicions())
        faults |= dict.fromkeys(self._replaced, "is not the one that a line of the log vouches for")
        for gap in self._gaps:
            faults[gap.start] = "is missing" if len(gap) == 1 else f"is missing, and all up to {gap[-1]}"
        for sequence in self._vouched:
            if sequence >= self.next:
                faults[sequence] = "was cut off the end: a line of the log vouches for it"
        return [Finding(self._id, sequence, fault) for sequence, fault in sorted(faults.items())]

    def _suspicions(self) -> Iterator[tuple[int, str]]:
        """Tell records that were changed from those that were moved, and from those that only stand behind one."""
        if len(self._suspects) > _MOST_MOVED:
            yield from ((row.sequence, "is not what was written there") for row, _ in self._suspects)
            return
        previous_macs = self._possible_previous_macs()
        places = [row.sequence for row, _ in self._suspects]
        for row, _ in self._suspects:
            origins = (
                place for place in places for previous in previous_macs if has_mac(row, previous=previous, place=place)
            )
            origin = next(origins, None)
            if origin is None or (origin == row.sequence and not columns_agree(row)):
                yield row.sequence, "is not what was written there"
            elif origin != row.sequence:
                yield row.sequence, f"was moved: it was written as record {origin}"

    def _possible_previous_macs(self) -> set[bytes]:
        """Return what the suspects' own MACs may have been computed from: the MACs around them, stored and right."""
        possible: set[bytes] = set()
        for row, previous in self._suspects:
            possible.add(row.mac)
            if previous is not None:
                right = chain_mac(previous=previous, chain_id=row.chain_id, sequence=row.sequence, record=row.record)
                possible |= {previous, right}
        return possible
