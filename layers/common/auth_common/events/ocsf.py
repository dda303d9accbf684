"""Security events in the Open Cybersecurity Schema Framework, version 1.3.0: what SIEMs and Security Lake read.

https://schema.ocsf.io/1.3.0/. Each event that the tests provoke is validated against the official schema.
"""

from typing import Any, Final

from auth_common.events.catalogue import CATALOGUE
from auth_common.events.occurrence import Occurrence
from auth_common.events.request_context import RequestContext
from auth_common.events.vocabulary import OCSFClass

VERSION: Final = "1.3.0"
_PRODUCT: Final = {"name": "Secure Backend", "vendor_name": "Secure Backend"}
#: OCSF's ``status_id``.
_SUCCESS, _FAILURE = 1, 2
_OTHER: Final = 99
#: ``activity_id`` of API Activity for each HTTP method.
_API_ACTIVITIES: Final = {"POST": 1, "GET": 2, "PUT": 3, "PATCH": 3, "DELETE": 4}
#: What ``http_method`` may be in 1.3.0: PATCH may not. ``api.operation`` has it where it matters.
_HTTP_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE"})


def to_ocsf(occurrence: Occurrence) -> dict[str, Any]:
    """Return ``occurrence`` as an OCSF event.

    The name of the event is in ``metadata.event_code``, its reason in ``status_detail``, further fields in
    ``unmapped``.
    """
    entry = CATALOGUE[occurrence.event]
    request = occurrence.request
    activity = entry.activity or _API_ACTIVITIES.get(request.method, _OTHER)
    common = {
        "metadata": {
            "version": VERSION,
            "product": _PRODUCT,
            "event_code": occurrence.event.value,
            **({"correlation_uid": request.request_id} if request.request_id else {}),
        },
        "time": occurrence.time,
        "category_uid": entry.ocsf_class // 1000,
        "class_uid": int(entry.ocsf_class),
        "activity_id": activity,
        **({"activity_name": occurrence.event.value} if activity == _OTHER else {}),
        "type_uid": entry.ocsf_class * 100 + activity,
        "severity_id": int(entry.severity),
        "severity": entry.severity.name.capitalize(),
        "status_id": _SUCCESS if entry.succeeded else _FAILURE,
        "status": "Success" if entry.succeeded else "Failure",
        **({"status_detail": occurrence.reason} if occurrence.reason else {}),
        **({"unmapped": dict(occurrence.detail)} if occurrence.detail else {}),
    }
    return common | _SPECIFIC[entry.ocsf_class](occurrence)


def _user(occurrence: Occurrence) -> dict[str, Any]:
    if occurrence.user_id:
        return {"uid": str(occurrence.user_id), "type_id": 1}
    account = occurrence.detail.get("account")
    return {"type_id": 0, **({"account": {"uid": account}} if account else {"name": "unknown"})}


def _actor(occurrence: Occurrence) -> dict[str, Any]:
    if occurrence.user_id:
        return {"user": _user(occurrence)}
    operator = occurrence.detail.get("operator")
    return {"user": {"name": operator, "type_id": 2}} if operator else {"invoked_by": "anonymous"}


def _source(request: RequestContext) -> dict[str, Any]:
    # An operator's command has no address.
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


def _session(occurrence: Occurrence) -> dict[str, Any]:
    session_id = occurrence.detail.get("session_id")
    return {"session": {"uid": session_id}} if session_id else {}


def _authentication(occurrence: Occurrence) -> dict[str, Any]:
    amr = occurrence.detail.get("amr")
    return {
        "user": _user(occurrence),
        "service": {"name": _PRODUCT["name"]},
        "src_endpoint": _source(occurrence.request),
        **({"is_mfa": "mfa" in amr} if amr else {}),
        **_session(occurrence),
        **_http(occurrence.request),
    }


def _authorize_session(occurrence: Occurrence) -> dict[str, Any]:
    return {
        "user": _user(occurrence),
        "privileges": [str(occurrence.detail.get("role", "user"))],
        "src_endpoint": _source(occurrence.request),
        **_session(occurrence),
        **_http(occurrence.request),
    }


def _account_change(occurrence: Occurrence) -> dict[str, Any]:
    return {
        "user": _user(occurrence),
        "src_endpoint": _source(occurrence.request),
        **_http(occurrence.request),
    }


def _user_access_management(occurrence: Occurrence) -> dict[str, Any]:
    return _account_change(occurrence) | {"privileges": [str(occurrence.detail.get("role", "user"))]}


def _entity_management(occurrence: Occurrence) -> dict[str, Any]:
    key = occurrence.detail.get("kid")
    return {
        "entity": {"type_id": _OTHER, "type": "Signing key", "name": "signing key", **({"uid": key} if key else {})},
        "src_endpoint": _source(occurrence.request),
        **_http(occurrence.request),
    }


def _application_lifecycle(occurrence: Occurrence) -> dict[str, Any]:
    return {"app": {**_PRODUCT, "feature": {"name": occurrence.request.function or "operator"}}}


def _api_activity(occurrence: Occurrence) -> dict[str, Any]:
    request = occurrence.request
    target = occurrence.detail.get("target")
    return {
        "actor": _actor(occurrence),
        "api": {"operation": f"{request.method} {request.path}".strip() or f"uv run {request.function}"},
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
