"""MFA tokens: which tokens are accepted as an MFA token, and where MFA tokens are rejected.

Outside the signature attacks, all tokens are signed with the real key, so they are rejected for their content.
"""

import json
import time
from datetime import UTC, datetime
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from auth_common.errors import InvalidMFAToken, InvalidToken
from auth_common.tokens.access_tokens import verify_access_token
from auth_common.tokens.mfa_tokens import (
    MFA_TOKEN_AUDIENCE,
    MFA_TOKEN_LIFETIME,
    MFA_TOKEN_TYPE,
    MFAClaims,
    issue_mfa_token,
    verify_mfa_token,
)
from tests.support.databases import start_fresh_environment
from tests.support.forged_tokens import (
    ABSENT,
    USER_ID,
    Forger,
    Verifier,
    base64url,
    forger_with_stolen_key,
    json_values,
)
from tests.support.forged_tokens import issue_genuine_token as issue_access_token

pytestmark = pytest.mark.tokens

LEEWAY_SECONDS = 30
LIFETIME_SECONDS = int(MFA_TOKEN_LIFETIME.total_seconds())
CLAIMS = ["iss", "aud", "sub", "tv", "jti", "iat", "nbf", "exp"]

verifier = Verifier(verify_mfa_token, InvalidMFAToken)
rejects, accepted = verifier.rejects, verifier.accepted_names


@pytest.fixture
def attacker(environment) -> Forger:
    return forger_with_stolen_key()


def forge(attacker, header=None, **changes):
    """Return an MFA token with ``changes`` to its claims, without the claims that only access tokens have."""
    now = int(time.time())
    others = dict.fromkeys(("role", "sid", "amr", "auth_time"), ABSENT)
    claims = attacker.claims(**{**others, "aud": MFA_TOKEN_AUDIENCE, "exp": now + LIFETIME_SECONDS, **changes})
    return attacker.token(header=attacker.header(typ=MFA_TOKEN_TYPE) if header is None else header, claims=claims)


def issue(*, now=None):
    return issue_mfa_token(user_id=USER_ID, token_version=3, now=now or datetime.now(UTC))


@pytest.mark.asvs("9.2.2")
def test_mfa_token_and_access_token_are_rejected_as_the_other_kind(attacker):
    """RFC 8725 section 3.12. A forged token without changes is accepted, so the tests below fail for their changes."""
    assert verify_mfa_token(issue()) == MFAClaims(USER_ID, 3)
    assert verify_mfa_token(forge(attacker)) == MFAClaims(USER_ID, 0)
    with pytest.raises(InvalidToken):
        verify_access_token(issue())
    assert rejects(issue_access_token())


@pytest.mark.asvs("9.2.4")
def test_token_with_typ_of_one_kind_and_aud_of_the_other_is_rejected(attacker):
    for header, changes in (
        (attacker.header(typ=MFA_TOKEN_TYPE), {}),
        (attacker.header(), {"aud": MFA_TOKEN_AUDIENCE}),
    ):
        token = attacker.token(header=header, claims=attacker.claims(**changes))
        assert rejects(token)
        with pytest.raises(InvalidToken):
            verify_access_token(token)


@pytest.mark.asvs("9.2.4")
@pytest.mark.parametrize("audience", [MFA_TOKEN_AUDIENCE, "https://orders.example"])
def test_kinds_are_separate_if_their_audiences_are_equal(environment, monkeypatch, audience):
    monkeypatch.setenv("TOKEN_AUDIENCE", audience)
    start_fresh_environment()
    attacker = forger_with_stolen_key()
    with pytest.raises(InvalidToken):
        verify_access_token(issue())
    assert rejects(attacker.token(claims=attacker.claims(aud=audience)))


@pytest.mark.asvs("9.2.3")
def test_mfa_token_of_another_type_or_audience_is_rejected(attacker):
    types = [ABSENT, "JWT", "at+jwt", "MFA+JWT", "application/mfa+jwt", "mfa+jwt ", "", None, 1, [MFA_TOKEN_TYPE]]
    assert accepted({repr(typ): forge(attacker, attacker.header(typ=typ)) for typ in types}) == []
    audiences: list[object] = [
        "",
        "secure-backend-users",
        f"{MFA_TOKEN_AUDIENCE} ",
        MFA_TOKEN_AUDIENCE.upper(),
        [MFA_TOKEN_AUDIENCE],
        None,
        {},
    ]
    assert accepted({repr(aud): forge(attacker, aud=aud) for aud in audiences}) == []


def test_mfa_token_without_a_valid_signature_is_rejected(attacker):
    signed = forge(attacker).rpartition(".")[0]
    unsecured = base64url(json.dumps({"alg": "none", "typ": MFA_TOKEN_TYPE, "kid": attacker.kid}).encode())
    tokens = {
        "another key under our id": forge(Forger(ec.generate_private_key(ec.SECP256R1()), attacker.kid)),
        "unknown id": forge(Forger(attacker.key, "A" * 43)),
        "no signature": f"{signed}.",
        "nonsense": f"{signed}.{'A' * 86}",
        "alg none": f"{unsecured}.{signed.partition('.')[2]}.",
    }
    assert accepted(tokens) == []


@pytest.mark.usefixtures("environment")
def test_mfa_token_expires_after_five_minutes_and_the_leeway():
    now = time.time()
    assert rejects(issue(now=datetime.fromtimestamp(now - 5 * 60 - LEEWAY_SECONDS - 1, UTC)))
    assert not rejects(issue(now=datetime.fromtimestamp(now - 5 * 60 + 10, UTC)))
    assert rejects(issue(now=datetime.fromtimestamp(now + LEEWAY_SECONDS + 10, UTC)))


def test_mfa_token_with_an_odd_or_missing_claim_is_rejected(attacker):
    """PyJWT itself accepts a string as ``exp``."""
    now = int(time.time())
    numbers = {"iat": now, "nbf": now, "exp": now + LIFETIME_SECONDS, "tv": 0}
    values: list[object] = [ABSENT, None, {}, [[]], 1.5, True]
    odd = {(c, repr(v)): forge(attacker, **{c: v}) for c in CLAIMS for v in [*values, str(numbers.get(c, "")) or 7]}
    subjects = ["", "1", "admin", "' OR 1=1 --", "0" * 33, "é", f"{UUID(int=0)}\ud800"]
    assert accepted(odd | {sub: forge(attacker, sub=sub) for sub in subjects}) == []


@given(claim=st.sampled_from(CLAIMS), value=json_values)
def test_claim_of_any_value_raises_no_other_error(attacker, claim, value):
    """With a stolen key, a token is rejected or has claims of the right types."""
    token = forge(attacker, **{claim: value})
    if not rejects(token):
        claims = verify_mfa_token(token)
        assert isinstance(claims.user_id, UUID)
        assert type(claims.token_version) is int
