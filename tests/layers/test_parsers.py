"""Property tests of all parsers: for any input they return a value, or raise the documented error.

A returned value is unchanged when it is written and read again.
"""

import json
import unicodedata
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from auth_common.accounts.schemas import DateOfBirth
from auth_common.errors import Misconfigured, ValidationFailed
from auth_common.events.request_context import describe_request
from auth_common.field_types import Text
from auth_common.keys.jwk import public_jwk
from auth_common.keys.verification_keys import JWKS_FILE, published_jwks, verification_key
from auth_common.passkeys.verification import (
    InvalidPasskeyResponse,
    read_claimed_identity,
    verify_authentication,
    verify_registration,
)
from auth_common.passwords.hashing import normalise_password
from auth_common.passwords.policy import password_faults
from auth_common.sessions.devices import name_device
from auth_common.settings import Settings, settings
from auth_common.strict_json import parse_strict_json
from auth_common.users.email_address import normalise_email
from auth_common.users.uuids import parse_uuid
from auth_common.web.oauth import parse_form
from tests.support.databases import start_fresh_environment
from tests.support.events import SOURCE_IP, lambda_context, proxy_event
from tests.support.fuzzing import examples
from tests.support.proxies import LOCK, accepting

pytestmark = pytest.mark.web

#: With lone surrogates.
any_text = st.text(st.characters())
json_scalars = st.none() | st.booleans() | st.integers() | st.floats() | any_text
any_json = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


def mapping_of(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for objects with some of these members, and perhaps others."""
    return st.dictionaries(st.sampled_from(names) | any_text, any_json, max_size=len(names) + 1)


almost_json = any_json.map(lambda value: json.dumps(value).encode()) | st.from_regex(
    rb"[\[{]*[-+0-9.eE]{1,12}[\]}]*|\"[^\x00]{0,9}\"", fullmatch=True
)


@given(octets=st.binary() | almost_json)
@example(octets=b"1e400")
def test_strict_json_is_the_same_after_writing_and_reading(octets):
    try:
        value = parse_strict_json(octets)
    except ValueError:
        return
    assert parse_strict_json(json.dumps(value, allow_nan=False).encode()) == value


almost_forms = st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=4).map(urlencode)


@given(octets=st.binary() | almost_forms.map(str.encode) | st.from_regex(rb"[a-c=&;+%0-9F]{0,12}", fullmatch=True))
def test_form_is_the_same_after_writing_and_reading(octets):
    try:
        parameters = parse_form(octets)
    except ValidationFailed:
        return
    assert all(parameters.values())
    assert parse_form(urlencode(parameters).encode()) == parameters


@given(value=any_json | st.dates().map(str) | st.datetimes().map(lambda time: f"{time.isoformat()}Z"))
def test_date_of_birth_is_the_same_after_writing_and_reading(value):
    adapter = TypeAdapter(DateOfBirth)
    try:
        born = adapter.validate_python(value)
    except ValidationError:
        return
    assert value.startswith(str(born))
    assert adapter.validate_python(str(born)) == born


@given(text=any_text | st.text(st.characters(categories=["L", "M", "Zs", "Cf"])))
def test_accepted_name_is_unchanged_when_read_again_and_is_nfc(text):
    adapter = TypeAdapter(Text)
    try:
        name: str = adapter.validate_python(text)
    except ValidationError:
        return
    assert adapter.validate_python(name) == name
    assert unicodedata.is_normalized("NFC", name)
    assert 1 <= len(name) <= 100
    assert name.strip() == name


almost_emails = st.tuples(any_text, st.text(st.characters(categories=["L", "M", "N", "Pd"])), st.just("com")).map(
    lambda parts: f"{parts[0] or 'a'}@{parts[1]}.{parts[2]}"
)


@given(text=any_text | almost_emails | st.emails() | almost_emails.map(lambda text: f"a@{text.rpartition('@')[2]}"))
def test_accepted_email_is_unchanged_when_read_again_and_is_ascii(text):
    try:
        address = normalise_email(text)
    except ValueError:
        return
    assert normalise_email(address) == address
    assert address.isascii()


almost_ids = st.uuids().map(str) | st.uuids().map(lambda key: str(key).upper()) | st.uuids().map(lambda key: key.hex)


@given(text=any_text | almost_ids)
def test_id_has_one_spelling_except_for_capitals(text):
    parsed = parse_uuid(text)
    assert parsed is None or str(parsed) == text.lower()


@examples(200)
@given(password=st.text(st.characters(codec="utf-8"), min_size=12, max_size=300), name=st.text(max_size=40))
def test_any_password_is_normalised_and_checked(password, name):
    normalised = normalise_password(password)
    assert normalise_password(normalised) == normalised
    assert all(password not in fault for fault in password_faults(password, personal=[name]))


almost_responses = mapping_of(
    *("clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle", "transports")
)
almost_ids_of_keys = st.just("AQID") | any_json
almost_credentials = mapping_of("id", "rawId", "type") | st.fixed_dictionaries(
    {"id": almost_ids_of_keys, "rawId": almost_ids_of_keys, "type": st.just("public-key") | any_json}
    | {"response": almost_responses}
)


@given(credential=almost_credentials)
@pytest.mark.usefixtures("environment")
def test_any_credential_raises_only_the_documented_error(credential):
    with pytest.raises(InvalidPasskeyResponse):
        verify_registration(credential, expected_challenge=b"c" * 32)
    with pytest.raises(InvalidPasskeyResponse):
        verify_authentication(credential, expected_challenge=b"c" * 32, public_key=b"", require_user_verification=False)
    try:
        credential_id, user_handle = read_claimed_identity(credential)
    except InvalidPasskeyResponse:
        return
    assert isinstance(credential_id, bytes)
    assert user_handle is None or isinstance(user_handle, bytes)


_JWK = public_jwk(ec.generate_private_key(ec.SECP256R1()).public_key())
almost_jwks = st.fixed_dictionaries(
    {name: st.just(value) for name, value in _JWK.items()}, optional={"exp": any_json, "key_ops": any_json}
) | st.fixed_dictionaries({}, optional={name: st.just(value) | any_json for name, value in _JWK.items()})
almost_key_sets = st.fixed_dictionaries({"keys": st.lists(almost_jwks | any_json) | any_json})


@given(text=any_text | (any_json | almost_key_sets).map(json.dumps) | st.integers(1, 10**6).map(lambda n: "[" * n))
@example(text="[" * 100_000)
@example(text=json.dumps({"keys": [{**_JWK, "exp": "tomorrow"}]}))
def test_any_text_as_key_set_is_accepted_or_misconfigured(environment, text):
    file = environment / JWKS_FILE
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, errors="replace")
    start_fresh_environment()
    try:
        keys = published_jwks()["keys"]
    except Misconfigured:
        return
    assert all(verification_key(jwk["kid"]) for jwk in keys)


shell_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
almost_settings = st.dictionaries(
    st.sampled_from([name for name in Settings.__dataclass_fields__ if name != "data_dir"]),
    shell_text
    | st.integers().map(str)
    | st.sampled_from(["local", "prod", "localhost", "https://localhost", "http://localhost:8000,", "true"]),
    max_size=6,
)


@given(variables=almost_settings)
def test_any_variables_are_settings_or_misconfigured(environment, variables):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name.upper(), value)
        start_fresh_environment()
        try:
            found = settings()
        except Misconfigured as error:
            shown = [value for value in variables.values() if len(value) >= 10 and value in str(error)]
            assert shown == []
            return
        for name, field in Settings.__dataclass_fields__.items():
            value, rules, kind = getattr(found, name), field.metadata, cast("type", field.type)
            assert value == field.default or isinstance(value, tuple if isinstance(field.default, tuple) else kind)
            if "bounds" in rules:
                assert rules["bounds"].least <= value <= rules["bounds"].greatest
            assert value in (field.default, *rules.get("choices", [value]))


almost_addresses = st.ip_addresses().map(str) | any_text


@given(
    client_ips=st.lists(almost_addresses, max_size=2),
    locks=st.lists(st.just(LOCK) | any_text, max_size=2),
    user_agent=any_text,
)
def test_client_of_any_request_has_an_ip_and_a_printable_agent(environment, client_ips, locks, user_agent):
    event = proxy_event("POST", "/login", userAgent=user_agent)
    event["multiValueHeaders"] = {"X-Client-IP": client_ips, "X-Proxy-Lock": locks}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROXY_LOCKS", accepting(LOCK)["PROXY_LOCKS"])
        start_fresh_environment()
        request = describe_request(event, lambda_context("login"))
    assert str(ip_address(request.source_ip)) == request.source_ip
    if locks != [LOCK]:
        assert request.source_ip == SOURCE_IP
    assert request.user_agent.isprintable()
    assert len(request.user_agent) <= 256
    assert name_device(request.user_agent)
    assert name_device(user_agent)
