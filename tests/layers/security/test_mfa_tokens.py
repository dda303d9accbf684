"""The token between the two factors: what passes for one, and what it passes for.

All tokens but those of the signature attacks are signed with the real key: they are refused for what they say.
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
from auth_common.security.access_tokens import issue_access_token, verify_access_token
from auth_common.security.mfa_tokens import AUDIENCE, LIFETIME, TYPE, MFAClaims, issue_mfa_token, verify_mfa_token
from tests.support.databases import start_fresh_environment
from tests.support.forged_tokens import ABSENT, SESSION_ID, USER_ID, Forger, base64url, forger

pytestmark = pytest.mark.tokens

LEEWAY = 30
CLAIMS = ["iss", "aud", "sub", "tv", "jti", "iat", "nbf", "exp"]


@pytest.fixture
def thief(environment) -> Forger:
    return forger()


def forge(thief, header=None, **changes):
    """Return an MFA token with ``changes`` to its claims; an access token's other ones are not in it."""
    now = int(time.time())
    others = dict.fromkeys(("role", "sid", "amr", "auth_time"), ABSENT)
    claims = thief.claims(**{**others, "aud": AUDIENCE, "exp": now + LIFETIME, **changes})
    return thief.token(header=thief.header(typ=TYPE) if header is None else header, claims=claims)


def refuses(token):
    """Tell whether ``token`` is refused, and by no other error than the one that callers expect."""
    try:
        verify_mfa_token(token)
    except InvalidMFAToken:
        return True
    return False


def accepted(tokens):
    """Return the names of those tokens that are not refused."""
    return [name for name, token in tokens.items() if not refuses(token)]


def issue(*, now=None):
    return issue_mfa_token(user_id=USER_ID, token_version=3, now=now or datetime.now(UTC))


# --- Good tokens ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("environment")
def test_what_we_issue_we_accept():
    assert verify_mfa_token(issue()) == MFAClaims(USER_ID, 3)


def test_what_the_forger_makes_without_a_change_is_accepted(thief):
    """Else every test below would pass for the wrong reason."""
    assert verify_mfa_token(forge(thief)) == MFAClaims(USER_ID, 0)


# --- One kind for the other (RFC 8725 section 3.11 and 3.12) ----------------------------------------------------------


@pytest.mark.usefixtures("environment")
def test_an_mfa_token_is_no_access_token():
    with pytest.raises(InvalidToken):
        verify_access_token(issue())


@pytest.mark.asvs("9.2.2")
@pytest.mark.usefixtures("environment")
def test_an_access_token_is_no_mfa_token():
    token = issue_access_token(
        user_id=USER_ID,
        role="admin",
        session_id=SESSION_ID,
        token_version=0,
        amr=("pwd", "hwk", "user", "mfa"),
        auth_time=int(time.time()),
        now=int(time.time()),
    )
    assert refuses(token)


@pytest.mark.asvs("9.2.4")
def test_type_and_audience_are_each_enough_to_tell_the_two_apart(thief):
    access = thief.claims()
    assert refuses(thief.token(header=thief.header(typ=TYPE), claims=access))
    assert refuses(thief.token(header=thief.header(), claims={**access, "aud": AUDIENCE}))
    for header, audience in ((thief.header(typ=TYPE), access["aud"]), (thief.header(), AUDIENCE)):
        with pytest.raises(InvalidToken):
            verify_access_token(thief.token(header=header, claims={**access, "aud": audience}))


@pytest.mark.asvs("9.2.4")
@pytest.mark.parametrize("audience", [AUDIENCE, "https://orders.example"])
def test_whatever_the_audience_of_access_tokens_is_called_the_type_tells_them_apart(environment, monkeypatch, audience):
    monkeypatch.setenv("TOKEN_AUDIENCE", audience)
    start_fresh_environment()
    thief = forger()
    with pytest.raises(InvalidToken):
        verify_access_token(issue())
    assert refuses(thief.token(claims=thief.claims(aud=audience)))


def test_another_typ(thief):
    types = [ABSENT, "JWT", "at+jwt", "MFA+JWT", "application/mfa+jwt", "mfa+jwt ", "", None, 1, [TYPE]]
    assert accepted({repr(typ): forge(thief, thief.header(typ=typ)) for typ in types}) == []


@pytest.mark.asvs("9.2.3")
def test_another_audience_or_a_list_of_them(thief):
    audiences: list[object] = ["", "secure-backend-users", f"{AUDIENCE} ", AUDIENCE.upper(), [AUDIENCE], None, {}]
    assert accepted({repr(aud): forge(thief, aud=aud) for aud in audiences}) == []


# --- Whose, and when --------------------------------------------------------------------------------------------------


def test_signed_with_another_key_under_our_key_id(thief):
    assert refuses(forge(Forger(ec.generate_private_key(ec.SECP256R1()), thief.kid)))


def test_signed_with_a_key_of_an_unknown_id(thief):
    assert refuses(forge(Forger(thief.key, "A" * 43)))


def test_without_a_signature(thief):
    signed = forge(thief).rpartition(".")[0]
    assert refuses(f"{signed}.")
    assert refuses(f"{signed}.{'A' * 86}")
    unsecured = base64url(json.dumps({"alg": "none", "typ": TYPE, "kid": thief.kid}).encode())
    assert refuses(f"{unsecured}.{signed.partition('.')[2]}.")


@pytest.mark.usefixtures("environment")
def test_it_lives_for_five_minutes_and_the_leeway():
    now = time.time()
    assert refuses(issue(now=datetime.fromtimestamp(now - LIFETIME - LEEWAY - 1, UTC)))
    assert not refuses(issue(now=datetime.fromtimestamp(now - LIFETIME + 10, UTC)))
    assert refuses(issue(now=datetime.fromtimestamp(now + LEEWAY + 10, UTC)))


def test_a_missing_claim(thief):
    assert accepted({claim: forge(thief, **{claim: ABSENT}) for claim in CLAIMS}) == []


def test_a_claim_of_a_wrong_type(thief):
    values: list[object] = [None, {}, [[]], 1.5, True]
    assert accepted({(c, repr(value)): forge(thief, **{c: value}) for c in CLAIMS for value in values}) == []


def test_a_string_where_a_number_belongs_and_the_reverse(thief):
    """A string as ``exp`` is one that the library takes."""
    now = int(time.time())
    numbers = {"iat": now, "nbf": now, "exp": now + LIFETIME, "tv": 0}
    odd = {claim: str(numbers[claim]) if claim in numbers else 7 for claim in CLAIMS}
    assert accepted({claim: forge(thief, **{claim: value}) for claim, value in odd.items()}) == []


def test_a_subject_that_is_no_user_id(thief):
    subjects = ["", "1", "admin", "' OR 1=1 --", "0" * 33, "é", f"{UUID(int=0)}\ud800"]
    assert accepted({sub: forge(thief, sub=sub) for sub in subjects}) == []


@given(
    claim=st.sampled_from(CLAIMS),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
    ),
)
def test_odd_claims_raise_no_other_error(thief, claim, value):
    """Whatever a stolen key signs: refused, or accepted with claims of the right types."""
    token = forge(thief, **{claim: value})
    if not refuses(token):
        claims = verify_mfa_token(token)
        assert isinstance(claims.user_id, UUID)
        assert type(claims.token_version) is int
