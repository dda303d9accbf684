"""Security events in the Open Cybersecurity Schema Framework (OCSF) 1.3.0, which SIEMs and Amazon Security Lake read.

See https://schema.ocsf.io/1.3.0/. The tests validate each event that they provoke against the official schema.
"""

from typing import Any, Final

from auth_common.events.catalogue import CATALOGUE
from auth_common.events.recorded_event import RecordedEvent
from auth_common.events.request_context import RequestContext
from auth_common.events.vocabulary import OCSFClass

VERSION: Final = "1.3.0"
_PRODUCT: Final = {"name": "Secure Backend", "vendor_name": "Secure Backend"}
#: OCSF's ``status_id``.
_SUCCESS, _FAILURE = 1, 2
_OTHER: Final = 99
#: ``activity_id`` of API Activity for each HTTP method.
_API_ACTIVITIES: Final = {"POST": 1, "GET": 2, "PUT": 3, "PATCH": 3, "DELETE": 4}
#: The values of ``http_method`` in 1.3.0. For PATCH, which is not among them, see ``api.operation``.
_HTTP_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE"})


def to_ocsf(event: RecordedEvent) -> dict[str, Any]:
    """Return ``event`` as an OCSF event.

    ``metadata.event_code`` is the name of the event, ``status_detail`` its reason, and ``unmapped`` has further fields.
    """
    entry = CATALOGUE[event.name]
    request = event.request
    activity = entry.activity or _API_ACTIVITIES.get(request.method, _OTHER)
    common = {
        "metadata": {
            "version": VERSION,
            "product": _PRODUCT,
            "event_code": event.name.value,
            **({"correlation_uid": request.request_id} if request.request_id else {}),
        },
        "time": event.time,
        "category_uid": entry.ocsf_class // 1000,
        "class_uid": int(entry.ocsf_class),
        "activity_id": activity,
        **({"activity_name": event.name.value} if activity == _OTHER else {}),
        "type_uid": entry.ocsf_class * 100 + activity,
        "severity_id": int(entry.severity),
        "severity": entry.severity.name.capitalize(),
        "status_id": _SUCCESS if entry.succeeded else _FAILURE,
        "status": "Success" if entry.succeeded else "Failure",
        **({"status_detail": event.reason} if event.reason else {}),
        **({"unmapped": dict(event.detail)} if event.detail else {}),
    }
    return common | _SPECIFIC[entry.ocsf_class](event)


def _user(event: RecordedEvent) -> dict[str, Any]:
    if event.user_id:
        return {"uid": str(event.user_id), "type_id": 1}
    if client := event.detail.get("client"):
        return {"name": client, "type_id": 3}
    account = event.detail.get("account")
    return {"type_id": 0, **({"account": {"uid": account}} if account else {"name": "unknown"})}


def _actor(event: RecordedEvent) -> dict[str, Any]:
    if event.user_id:
        return {"user": _user(event)}
    operator = event.detail.get("operator")
    return {"user": {"name": operator, "type_id": 2}} if operator else {"invoked_by": "anonymous"}


def _source(request: RequestContext) -> dict[str, Any]:
    # An operator's command has no client IP.
    return {"ip": request.source_ip} if request.source_ip else {"svc_name": request.function or "operator"}


def _http(request: RequestContext) -> dict[str, Any]:
    if not request.method:
        return {}
    return {
        "http_request": {
            **({"http_method": request.method} if request.method in _HTTP_METHODS else {}),
            "url": {"path": request.path},
            **({"user_agent": request.user_agent} if request.user_agent else {}),
        }
    }


def _session(event: RecordedEvent) -> dict[str, Any]:
    session_id = event.detail.get("session_id")
    return {"session": {"uid": session_id}} if session_id else {}


def _authentication(event: RecordedEvent) -> dict[str, Any]:
    amr = event.detail.get("amr")
    return {
        "user": _user(event),
        "service": {"name": _PRODUCT["name"]},
        "src_endpoint": _source(event.request),
        **({"is_mfa": "mfa" in amr} if amr else {}),
        **_session(event),
        **_http(event.request),
    }


def _privileges(event: RecordedEvent) -> list[str]:
    """Return the role of a user, or the scopes of a client."""
    if "client" in event.detail:
        return str(event.detail.get("scope", "none")).split()
    return [str(event.detail.get("role", "user"))]


def _authorize_session(event: RecordedEvent) -> dict[str, Any]:
    return {
        "user": _user(event),
        "privileges": _privileges(event),
        "src_endpoint": _source(event.request),
        **_session(event),
        **_http(event.request),
    }


def _account_change(event: RecordedEvent) -> dict[str, Any]:
    return {
        "user": _user(event),
        "src_endpoint": _source(event.request),
        **_http(event.request),
    }


def _user_access_management(event: RecordedEvent) -> dict[str, Any]:
    return _account_change(event) | {"privileges": [str(event.detail.get("role", "user"))]}


def _entity_management(event: RecordedEvent) -> dict[str, Any]:
    client, key = event.detail.get("client"), event.detail.get("kid")
    signing_key = {"type": "Signing key", "name": "signing key", **({"uid": key} if key else {})}
    entity = {"type": "Client", "name": client} if client else signing_key
    return {
        "entity": {"type_id": _OTHER, **entity},
        "src_endpoint": _source(event.request),
        **_http(event.request),
    }


def _application_lifecycle(event: RecordedEvent) -> dict[str, Any]:
    return {"app": {**_PRODUCT, "feature": {"name": event.request.function or "operator"}}}


def _api_activity(event: RecordedEvent) -> dict[str, Any]:
    request = event.request
    target = event.detail.get("target")
    # A function that a schedule calls has neither a method nor an operator.
    without_method = f"uv run {request.function}" if request.operator else request.function
    return {
        "actor": _actor(event),
        "api": {"operation": f"{request.method} {request.path}".strip() or without_method},
        "src_endpoint": _source(request),
        **({"resources": [{"uid": target}]} if target else {}),
        **_http(request),
    }


_SPECIFIC: Final = {
    OCSFClass.AUTHENTICATION: _authentication,
    OCSFClass.AUTHORIZE_SESSION: _authorize_session,
    OCSFClass.ACCOUNT_CHANGE: _account_change,
    OCSFClass.USER_ACCESS_MANAGEMENT: _user_access_management,
    OCSFClass.ENTITY_MANAGEMENT: _entity_management,
    OCSFClass.APPLICATION_LIFECYCLE: _application_lifecycle,
    OCSFClass.API_ACTIVITY: _api_activity,
}
