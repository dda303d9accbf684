"""``make docs``: docs/security-events.md, from the catalogue in the code."""

from typing import Final

from auth_common.events.catalogue import CATALOGUE, COMMON_FIELDS
from auth_common.events.catalogue.entry import CatalogueEntry
from auth_common.events.ocsf import VERSION
from auth_common.events.vocabulary import SecurityEvent

_INTRODUCTION: Final = f"""\
# Security events

Written from the code by `make docs`; a test fails when the two differ.

Each event is a line in the log, as an event of [OCSF {VERSION}](https://schema.ocsf.io/{VERSION}/), and counts a metric
of its name. All but those of the authorizer, which has no database, are also records of the
[audit log](walkthrough.md#the-audit-log). Names are those of OWASP's Logging Vocabulary, or made in its manner.

In a line, `message` is the name, and below `security_event` are `metadata.event_code` (the name), `time` (milliseconds
since the epoch), `status`, `status_detail` (the reason), `severity`, `user.uid` (or `actor.user.uid`), `http_request`,
`src_endpoint.ip`, `metadata.correlation_uid` (the request id) and `unmapped` (the fields). `audit` has the place of
the record and its MAC. Each event can have:

| Field | Meaning |
|---|---|
{"".join(f"| `{name}` | {meaning} |" for name, meaning in COMMON_FIELDS.items())}

Never in an event: passwords, tokens, hashes, keys, challenges, request bodies, names, e-mail addresses.

| Event | Outcome | Severity | OCSF class and activity |
|---|---|---|---|
"""


def page() -> str:
    """Return the text of docs/security-events.md."""
    rows = "".join(
        f"| [`{event}`](#{event}) | {_outcome(entry)} | {entry.severity.name.lower()} | {_ocsf(entry)} |\n"
        for event, entry in CATALOGUE.items()
    )
    return _INTRODUCTION + rows + "".join(_section(event, entry) for event, entry in CATALOGUE.items())


def _section(event: SecurityEvent, entry: CatalogueEntry) -> str:
    parts = [f"\n## {event}\n", f"**When** {entry.when}.\n", f"**What to do** {entry.respond}\n"]
    if entry.reasons:
        parts.append("| Reason | Meaning |\n|---|---|\n" + _rows(entry.reasons))
    if entry.fields:
        parts.append("| Field | Meaning |\n|---|---|\n" + _rows(entry.fields))
    return "\n".join(parts)


def _rows(meanings: dict[str, str]) -> str:
    return "".join(f"| `{name}` | {meaning} |\n" for name, meaning in meanings.items())


def _outcome(entry: CatalogueEntry) -> str:
    return "success" if entry.succeeded else "failure"


def _ocsf(entry: CatalogueEntry) -> str:
    name = entry.ocsf_class.name.replace("_", " ").capitalize()
    activity = "by HTTP method" if entry.activity is None else str(entry.activity)
    return f"{name} ({entry.ocsf_class}), {activity}"
