"""Verify the audit log: check every chain from its first record on, and compare records with log lines.

A record that was changed or moved does not have the right MAC for its place. A deleted record leaves a gap in the
sequence. The chains alone cannot show that the last records of a chain, or a whole chain, were deleted. The log lines
can, because each contains the MAC of its record.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.audit.reading import columns_agree, has_mac, is_intact, open_all_personal
from auth_common.audit_log import store
from auth_common.audit_log.protection import FIRST_PREVIOUS_MAC, chain_mac
from auth_common.audit_log.store import AuditRow, StoredRow
from auth_common.settings import settings
from auth_common.transactions import read

#: If a chain has more records with a wrong MAC than this, their original places are not searched for.
_MAX_SUSPECTS: Final = 10
#: The maximum number of MACs that are computed in this search, in the whole log. The number for one chain grows with
#: the cube of its wrong records.
_MAX_MACS: Final = 10_000
#: The number of characters that are shown of a chain or sequence that the service never writes.
_MAX_SHOWN_CHARACTERS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The place and MAC of a record according to a log line."""

    chain_id: UUID
    sequence: int
    #: Hexadecimal.
    mac: str
    #: Milliseconds since the epoch.
    time: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A record that was tampered with, or is missing."""

    #: A text if the stored value has another type, which is possible on SQLite.
    chain_id: UUID | str
    sequence: int | str
    #: What is wrong, as the end of a sentence that begins with the record.
    fault: str

    def __str__(self) -> str:
        """Return the record and what is wrong with it, as a sentence."""
        return f"chain {self.chain_id}, record {self.sequence}: {self.fault}"


@dataclass(frozen=True, slots=True)
class Verification:
    """The result: how many chains, records and anchors were checked, and the findings."""

    chains: int
    records: int
    anchors: int
    findings: list[Finding]


def verify_audit_log(
    anchors: Iterable[Anchor] = (), *, progress: Callable[[int], object] = lambda _records: None
) -> Verification:
    """Check all chains, and all anchors that are within the retention. The work is linear in the length of the log.

    Args:
        anchors: The places and MACs in log lines.
        progress: Called after each batch with the number of records that have been checked.

    Raises:
        DatabaseUnavailable: The audit log could not be read.

    """
    oldest = (datetime.now(UTC) - timedelta(days=settings().audit_retention_days)).timestamp() * 1000
    logged: dict[UUID, dict[int, str]] = {}
    contradictions: list[Finding] = []
    for anchor in anchors:
        if anchor.time < oldest:
            continue
        # No secret: both MACs are in the log.
        if logged.setdefault(anchor.chain_id, {}).setdefault(anchor.sequence, anchor.mac) != anchor.mac:
            contradictions.append(
                Finding(anchor.chain_id, anchor.sequence, "has two log lines that contradict each other")
            )
    lines = sum(map(len, logged.values()))

    def check(connection: Connection) -> Verification:
        log = _Log(logged)
        for batch in store.select_all(connection):
            for stored, personal in zip(batch, open_all_personal(connection, batch), strict=True):
                log.check(stored, personal.fault)
            progress(log.records)
        return Verification(len(log.chains), log.records, lines, [*contradictions, *log.findings()])

    return read(check)


@dataclass
class _MacAllowance:
    """The number of MACs that may still be computed to search for original places."""

    left: int = _MAX_MACS


class _Log:
    """The state of the verification of the whole log. Records are checked one by one, ordered by chain."""

    def __init__(self, logged: dict[UUID, dict[int, str]]) -> None:
        self.records = 0
        #: By the stored id of the chain.
        self.chains: dict[UUID | str, _Chain] = {}
        self._logged = logged
        self._foreign: list[Finding] = []

    def check(self, stored: StoredRow, personal_fault: str | None) -> None:
        """Check the next record."""
        self.records += 1
        if stored.has_place:
            chain_id = stored.row.chain_id
            if chain_id not in self.chains:
                self.chains[chain_id] = _Chain(chain_id, self._logged.get(chain_id, {}), began=stored.row.time)
            self.chains[chain_id].check(stored, personal_fault)
            return
        _, chain, sequence = (
            part if isinstance(part, int) else ascii(part)[:_MAX_SHOWN_CHARACTERS] for part in stored.place
        )
        self.chains.setdefault(str(chain), _Chain(UUID(int=0), {}, began=stored.row.time))
        self._foreign.append(Finding(str(chain), sequence, "is not what was written there"))

    def findings(self) -> list[Finding]:
        """Return all findings, ordered by the age of the chain."""
        gone = (_Chain(chain_id, self._logged[chain_id], 0) for chain_id in self._logged.keys() - self.chains.keys())
        allowance = _MacAllowance()
        chains = sorted(self.chains.values(), key=lambda chain: chain.began)
        return [*self._foreign, *(finding for chain in (*chains, *gone) for finding in chain.findings(allowance))]


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A record whose MAC is wrong for its place."""

    stored: StoredRow
    #: The MAC of the previous record. None if it is unknown.
    previous: bytes | None

    @property
    def row(self) -> AuditRow:
        return self.stored.row

    @property
    def right_mac(self) -> bytes | None:
        """The right MAC for this record at this place. None if the previous MAC is unknown."""
        if self.previous is None:
            return None
        row = self.row
        return chain_mac(previous=self.previous, chain_id=row.chain_id, sequence=row.sequence, record=row.record)


@dataclass
class _Chain:
    """The state of the verification of one chain. Records are checked one by one, ordered by sequence."""

    id: UUID
    #: By sequence, the MACs in log lines.
    logged: dict[int, str]
    #: The time of the first record, in milliseconds since the epoch.
    began: int
    _next: int = 0
    _previous: bytes | None = FIRST_PREVIOUS_MAC
    #: If the previous record is a suspect, the right MAC for it at its place.
    _right_previous: bytes | None = None
    _gaps: list[range] = field(default_factory=list)
    _suspects: list[_Suspect] = field(default_factory=list)
    _faults: dict[int, str] = field(default_factory=dict)
    _replaced: list[int] = field(default_factory=list)
    _matched: set[int] = field(default_factory=set)

    def check(self, stored: StoredRow, personal_fault: str | None) -> None:
        """Check the next record, with one MAC, or with two after a suspect."""
        row = stored.row
        if row.sequence < 0:
            self._suspects.append(_Suspect(stored, None))
            return
        if row.sequence > self._next:
            self._gaps.append(range(self._next, row.sequence))
            # A log line may still have the MAC of the deleted record.
            line = self.logged.get(row.sequence - 1)
            self._previous = bytes.fromhex(line) if line else None
            self._right_previous = None
        suspect = _Suspect(stored, self._previous)
        right_mac = None
        if self._previous is None:
            self._faults[row.sequence] = "cannot be checked, because the record before it is missing"
        elif is_intact(stored, self._previous) or self._follows_a_changed_record(stored):
            if personal_fault:
                self._faults[row.sequence] = personal_fault
        else:
            self._suspects.append(suspect)
            right_mac = suspect.right_mac
        if row.sequence in self.logged:
            self._matched.add(row.sequence)
            if self.logged[row.sequence] != row.mac.hex():
                self._replaced.append(row.sequence)
        self._next = row.sequence + 1
        self._previous, self._right_previous = row.mac, right_mac

    def _follows_a_changed_record(self, stored: StoredRow) -> bool:
        return self._right_previous is not None and is_intact(stored, self._right_previous)

    def findings(self, allowance: _MacAllowance) -> list[Finding]:
        """Return the findings of this chain, ordered by sequence."""
        faults = self._faults | dict(self._suspicions(allowance))
        faults |= dict.fromkeys(self._replaced, "differs from its log line")
        for gap in self._gaps:
            faults[gap.start] = "is missing" if len(gap) == 1 else f"is missing, and all up to {gap[-1]}"
        for sequence in self.logged.keys() - self._matched:
            if sequence >= self._next:
                faults[sequence] = "was deleted from the end of the chain, but has a log line"
        return [Finding(self.id, sequence, fault) for sequence, fault in sorted(faults.items())]

    def _suspicions(self, allowance: _MacAllowance) -> Iterator[tuple[int, str]]:
        """Yield the faults of changed and moved records. Other suspects only follow one of these and have no fault."""
        for suspect in self._suspects:
            row = suspect.row
            written_at = self._written_at(row, allowance) if len(self._suspects) <= _MAX_SUSPECTS else None
            if written_at is None:
                yield row.sequence, "is not what was written there"
            elif written_at != row.sequence:
                yield row.sequence, f"was moved: it was written as record {written_at}"
            elif not suspect.stored.is_readable or not columns_agree(row):
                yield row.sequence, "is not what was written there"

    def _written_at(self, row: AuditRow, allowance: _MacAllowance) -> int | None:
        """Return the sequence at which a record was written. Return None if no suspect's place fits its MAC."""
        for suspect in self._suspects:
            for previous in self._possible_previous_macs:
                allowance.left -= 1
                if allowance.left < 0:
                    return None
                if has_mac(row, previous=previous, place=suspect.row.sequence):
                    return suspect.row.sequence
        return None

    @cached_property
    def _possible_previous_macs(self) -> set[bytes]:
        """Return the previous MACs from which the suspects' MACs may have been computed.

        These are, for each suspect, its stored MAC, its right MAC and the MAC of the previous record.
        """
        macs = {mac for suspect in self._suspects for mac in (suspect.row.mac, suspect.previous, suspect.right_mac)}
        return {mac for mac in macs if mac}
