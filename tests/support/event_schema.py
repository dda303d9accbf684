"""Validate the security events of every test against the official OCSF schema and the project's catalogue."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema_rs import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from auth_common.events.catalogue import CATALOGUE, COMMON_FIELDS
from auth_common.events.ocsf import VERSION
from auth_common.events.vocabulary import SecurityEvent


def schema_errors_in(output: str) -> list[str]:
    """Return the errors of all security events in ``output``."""
    return [fault for event in _events(output) for fault in schema_errors_of(event)]


def schema_errors_of(event: dict[str, Any]) -> list[str]:
    """Return where an OCSF event violates its class's schema, or has a reason or a field that the catalogue lacks."""
    name = event["metadata"]["event_code"]
    entry = CATALOGUE[SecurityEvent(name)]
    faults = [
        f"{name}: {error.instance_path}: {error.message}" for error in _validator(event["class_uid"]).iter_errors(event)
    ]
    reason = event.get("status_detail")
    if reason not in {None, *entry.reasons}:
        faults.append(f"{name}: the catalogue lacks the reason {reason}")
    unknown = event.get("unmapped", {}).keys() - entry.fields.keys() - COMMON_FIELDS.keys()
    faults += [f"{name}: the catalogue lacks the field {field}" for field in unknown]
    return faults


def _events(output: str) -> Iterator[dict[str, Any]]:
    for line in output.splitlines():
        if '"security_event":{"metadata"' in line:
            # Threads of a test share one stdout, so a metric may be on the same line, before or after the event.
            document, _ = json.JSONDecoder().raw_decode(line, line.index('{"level"'))
            yield document["security_event"]


@cache
def _schemas() -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(get_ocsf_schema(version=VERSION))


@cache
def _validator(class_uid: int) -> Draft202012Validator:
    name = _schemas().lookup_class_name_from_uid(class_uid)
    return Draft202012Validator(_schemas().get_class_schema(class_name=name, profiles=[]))
