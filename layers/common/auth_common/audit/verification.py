"""Has the audit log been tampered with? Every chain from its first record on, and every line that vouches for one.

A record that was changed or moved no longer has the MAC of its place; where one was deleted, the sequence has a gap.
What the chains alone cannot show is that the end of one was cut off, or that a whole chain is gone. The lines of the
service's log can: each carries the MAC that its record had.
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

#: In a chain with more changed records than this, their origins are not looked for.
_MAX_SUSPECTS: Final = 10
#: MACs that are computed to look for origins, in the whole log: the work grows with the cube of the changed records.
_MAX_MACS: Final = 10_000
#: Characters of a key that is none of ours.
_MAX_SHOWN_CHARACTERS: Final = 60


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

    #: As texts, if a database that checks no types (SQLite) has something else there.
    chain_id: UUID | str
    sequence: int | str
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


def verify_audit_log(
    anchors: Iterable[Anchor] = (), *, progress: Callable[[int], object] = lambda _records: None
) -> Verification:
    """Check every chain, and every anchor that retention has not overtaken. The work grows with the log's length.

    Args:
        anchors: what lines of the service's log say.
        progress: called again and again with the number of records that have been checked.

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
    lines = sum(map(len, vouched.values()))

    def check(connection: Connection) -> Verification:
        log = _Log(vouched)
        for batch in store.select_all(connection):
            for stored, personal in zip(batch, open_all_personal(connection, batch), strict=True):
                log.check(stored, personal.fault)
            progress(log.records)
        return Verification(len(log.chains), log.records, lines, [*contradictions, *log.findings()])

    return read(check)


@dataclass
class _Tries:
    """How many MACs may still be computed to look for origins."""

    left: int = _MAX_MACS


class _Log:
    """The whole log, while its records pass by, chain by chain."""

    def __init__(self, vouched: dict[UUID, dict[int, str]]) -> None:
        self.records = 0
        #: By what is stored as their ids.
        self.chains: dict[UUID | str, _Chain] = {}
        self._vouched = vouched
        self._foreign: list[Finding] = []

    def check(self, stored: StoredRow, personal_fault: str | None) -> None:
        """Look at the next record."""
        self.records += 1
        if stored.has_place:
            chain_id = stored.row.chain_id
            if chain_id not in self.chains:
                self.chains[chain_id] = _Chain(chain_id, self._vouched.get(chain_id, {}), began=stored.row.time)
            self.chains[chain_id].check(stored, personal_fault)
            return
        _, chain, sequence = (
            part if isinstance(part, int) else ascii(part)[:_MAX_SHOWN_CHARACTERS] for part in stored.place
        )
        self.chains.setdefault(str(chain), _Chain(UUID(int=0), {}, began=stored.row.time))
        self._foreign.append(Finding(str(chain), sequence, "is not what was written there"))

    def findings(self) -> list[Finding]:
        """Return what is wrong, the oldest chain first."""
        gone = (_Chain(chain_id, self._vouched[chain_id], 0) for chain_id in self._vouched.keys() - self.chains.keys())
        tries = _Tries()
        chains = sorted(self.chains.values(), key=lambda chain: chain.began)
        return [*self._foreign, *(finding for chain in (*chains, *gone) for finding in chain.findings(tries))]


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A record whose MAC is not the one of its place."""

    stored: StoredRow
    #: The MAC that stands before it. None if that is unknown.
    previous: bytes | None

    @property
    def row(self) -> AuditRow:
        return self.stored.row

    @property
    def right_mac(self) -> bytes | None:
        """The MAC that its record would have here."""
        if self.previous is None:
            return None
        row = self.row
        return chain_mac(previous=self.previous, chain_id=row.chain_id, sequence=row.sequence, record=row.record)


@dataclass
class _Chain:
    """One chain, while its records pass by in their order."""

    id: UUID
    #: By sequence, the MACs that lines of the log know.
    vouched: dict[int, str]
    #: The time of its first record, in milliseconds.
    began: int
    _next: int = 0
    _previous: bytes | None = FIRST_PREVIOUS_MAC
    #: The MAC that the record before, a suspect, would have if it had been written there.
    _right_previous: bytes | None = None
    _gaps: list[range] = field(default_factory=list)
    _suspects: list[_Suspect] = field(default_factory=list)
    _faults: dict[int, str] = field(default_factory=dict)
    _replaced: list[int] = field(default_factory=list)
    _matched: set[int] = field(default_factory=set)

    def check(self, stored: StoredRow, personal_fault: str | None) -> None:
        """Look at the next record: at one hash, or two behind a suspect."""
        row = stored.row
        if row.sequence < 0:
            self._suspects.append(_Suspect(stored, None))
            return
        if row.sequence > self._next:
            self._gaps.append(range(self._next, row.sequence))
            # What was deleted may have left its MAC in a line of the log.
            line = self.vouched.get(row.sequence - 1)
            self._previous = bytes.fromhex(line) if line else None
            self._right_previous = None
        suspect = _Suspect(stored, self._previous)
        right_mac = None
        if self._previous is None:
            self._faults[row.sequence] = "cannot be checked, for the one before it is missing"
        elif is_intact(stored, self._previous) or self._stands_behind_a_changed_one(stored):
            if personal_fault:
                self._faults[row.sequence] = personal_fault
        else:
            self._suspects.append(suspect)
            right_mac = suspect.right_mac
        if row.sequence in self.vouched:
            self._matched.add(row.sequence)
            if self.vouched[row.sequence] != row.mac.hex():
                self._replaced.append(row.sequence)
        self._next = row.sequence + 1
        self._previous, self._right_previous = row.mac, right_mac

    def _stands_behind_a_changed_one(self, stored: StoredRow) -> bool:
        return self._right_previous is not None and is_intact(stored, self._right_previous)

    def findings(self, tries: _Tries) -> list[Finding]:
        """Return what is wrong, in the order of the chain."""
        faults = self._faults | dict(self._suspicions(tries))
        faults |= dict.fromkeys(self._replaced, "is not the one that a line of the log vouches for")
        for gap in self._gaps:
            faults[gap.start] = "is missing" if len(gap) == 1 else f"is missing, and all up to {gap[-1]}"
        for sequence in self.vouched.keys() - self._matched:
            if sequence >= self._next:
                faults[sequence] = "was cut off the end: a line of the log vouches for it"
        return [Finding(self.id, sequence, fault) for sequence, fault in sorted(faults.items())]

    def _suspicions(self, tries: _Tries) -> Iterator[tuple[int, str]]:
        """Tell records that were changed from those that were moved, and from those that only stand behind one."""
        for suspect in self._suspects:
            row = suspect.row
            origin = self._origin(row, tries) if len(self._suspects) <= _MAX_SUSPECTS else None
            if origin is None:
                yield row.sequence, "is not what was written there"
            elif origin != row.sequence:
                yield row.sequence, f"was moved: it was written as record {origin}"
            elif not suspect.stored.is_readable or not columns_agree(row):
                yield row.sequence, "is not what was written there"

    def _origin(self, row: AuditRow, tries: _Tries) -> int | None:
        """Return the place at which a record was written. Return None if it is not among those of the suspects."""
        for suspect in self._suspects:
            for previous in self._possible_previous_macs:
                tries.left -= 1
                if tries.left < 0:
                    return None
                if has_mac(row, previous=previous, place=suspect.row.sequence):
                    return suspect.row.sequence
        return None

    @cached_property
    def _possible_previous_macs(self) -> set[bytes]:
        """Return what the suspects' own MACs may have been computed from: the MACs around them, stored and right."""
        macs = {mac for suspect in self._suspects for mac in (suspect.row.mac, suspect.previous, suspect.right_mac)}
        return {mac for mac in macs if mac}
