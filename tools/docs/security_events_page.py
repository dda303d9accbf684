"""``make docs``: docs/security-events.md, from the catalogue in the code."""

import re
from typing import Final

from auth_common.events.catalogue import CATALOGUE, COMMON_FIELDS
from auth_common.events.catalogue.entry import CatalogueEntry
from auth_common.events.ocsf import VERSION
from auth_common.events.vocabulary import SecurityEvent

#: The path of a runbook in a text of the catalogue.
_RUNBOOK: Final = re.compile(r"docs/(?P<path>runbooks/[\w-]+\.md)")

_INTRODUCTION: Final = f"""\
# Security events

`make docs` writes this page from the code.

<picture>
  <source media="(prefers-color-scheme: dark)" srcset="images/security-dark.png">
  <img alt="The security page: numbers, a chart of logins and failed logins, and rankings" src="images/security.png">
</picture>

The [security page](../public/security.html) shows these events. To try it with a day of example data, run `make demo`.

Each security event is a log line, an event of [OCSF {VERSION}](https://schema.ocsf.io/{VERSION}/), and a metric with
the event's name. It is also a record in the [audit log](walkthrough.md#the-audit-log), except for events of the
authorizer, which has no database. The names follow OWASP's Logging Vocabulary.

In a log line, `message` is the event's name, and `audit` has the place of the audit record in its chain and its MAC.
The object `security_event` has these members:

| Member | Content |
|---|---|
| `metadata.event_code` | the event's name |
| `time` | milliseconds since the epoch |
| `status`, `status_detail` | the outcome and the reason |
| `severity` | the severity |
| `user.uid` or `actor.user.uid` | the id of the account |
| `src_endpoint.ip`, `http_request` | the client IP and the request |
| `metadata.correlation_uid` | the request id |
| `unmapped` | the fields of the event, which are listed below |

Each event can have this field:

| Field | Meaning |
|---|---|
{"".join(f"| `{name}` | {meaning} |" for name, meaning in COMMON_FIELDS.items())}

No event contains passwords, tokens, hashes, keys, challenges, request bodies, names or e-mail addresses.

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
    parts = [f"\n## {event}\n", f"**When** {entry.when}.\n", f"**What to do** {_with_links(entry.respond)}\n"]
    if entry.reasons:
        parts.append("| Reason | Meaning |\n|---|---|\n" + _rows(entry.reasons))
    if entry.fields:
        parts.append("| Field | Meaning |\n|---|---|\n" + _rows(entry.fields))
    return "\n".join(parts)


def _with_links(text: str) -> str:
    return _RUNBOOK.sub(r"[runbook](\g<path>)", text)


def _rows(meanings: dict[str, str]) -> str:
    return "".join(f"| `{name}` | {meaning} |\n" for name, meaning in meanings.items())


def _outcome(entry: CatalogueEntry) -> str:
    return "success" if entry.succeeded else "failure"


def _ocsf(entry: CatalogueEntry) -> str:
    name = entry.ocsf_class.name.replace("_", " ").capitalize()
    activity = "by HTTP method" if entry.activity is None else str(entry.activity)
    return f"{name} ({entry.ocsf_class}), {activity}"
