"""Attacks on access tokens, each named after the advisory or the RFC section that describes it.

All tokens but those of the signature attacks are signed with the real key: they are refused for what they say.
"""

import base64
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import assume, given
from hypothesis import strategies as st

from auth_common.errors import InvalidToken
from auth_common.security.access_tokens import AccessClaims, issue_access_token, verify_access_token
from auth_common.security.jwk import public_jwk
from auth_common.security.signed_tokens import LONGEST
from tests.support.databases import start_fresh_environment
from tests.support.forged_tokens import (
    ABSENT,
    SESSION_ID,
    TOKEN_ID,
    USER_ID,
    Forger,
    base64url,
    forger,
    raw_signature,
)

pytestmark = pytest.mark.tokens

#: The order of P-256.
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
LEEWAY = 30


@pytest.fixture
def thief(environment) -> Forger:
    return forger()


def refuses(token: str) -> bool:
    """Tell whether ``token`` is refused, and by no other error than the one that callers expect."""
    try:
        verify_access_token(token)
    except InvalidToken:
        return True
    return False


def accepted(tokens):
    """Return the names of those tokens that are not refused."""
    return [name for name, token in tokens.items() if not refuses(token)]


def with_header(thief, name, values):
    """Return a token for each value of a header parameter, by that value."""
    return {repr(value): thief.token(header=thief.header(**{name: value})) for value in values}


def with_claim(thief, name, values):
    """Return a token for each value of a claim, by that value."""
    return {f"{name}: {value!r}": thief.token(claims=thief.claims(**{name: value})) for value in values}


# --- Good tokens --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("environment")
def test_what_we_issue_we_accept():
    now = int(time.time())
    token = issue_access_token(
        user_id=USER_ID,
        role="admin",
        session_id=SESSION_ID,
        token_version=3,
        amr=("pwd", "hwk"),
        auth_time=now - 60,
        now=now,
    )
    claims = verify_access_token(token)
    assert claims == AccessClaims(
        user_id=USER_ID,
        role="admin",
        session_id=SESSION_ID,
        token_version=3,
        amr=("pwd", "hwk"),
        auth_time=now - 60,
        expires_at=now + 900,
        token_id=claims.token_id,
    )


def test_what_the_forger_makes_without_a_change_is_accepted(thief):
    """Else every test below would pass for the wrong reason."""
    assert verify_access_token(thief.token()).token_id == TOKEN_ID


# --- The algorithm ------------------------------------------------------------------------------------------------


@pytest.mark.asvs("9.1.2")
@pytest.mark.threat("authorizer-forged-token")
def test_alg_none_rfc_8725_2_1(thief):
    tokens = {
        (alg, signature): f"{thief.signing_input(header=thief.header(alg=alg))}.{signature}"
        for alg in ("none", "None", "NONE", "nOnE", "")
        for signature in ("", "A" * 86, "AA")
    }
    assert accepted(tokens) == []


@pytest.mark.asvs("9.1.2", "11.4.3")
def test_another_alg_in_the_header(thief):
    known = ["ES384", "ES512", "ES256K", "RS256", "PS256", "HS256", "EdDSA"]
    odd: list[object] = ["es256", "ES256 ", "Es256", None, 256, ["ES256"], {}]
    assert accepted(with_header(thief, "alg", [*known, *odd])) == []


def public_key_spellings(key):
    public = key.public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    point = serialization.PublicFormat.UncompressedPoint
    return {
        "PEM": public.public_bytes(serialization.Encoding.PEM, spki),
        "PEM, stripped": public.public_bytes(serialization.Encoding.PEM, spki).strip(),
        "DER": public.public_bytes(serialization.Encoding.DER, spki),
        "point": public.public_bytes(serialization.Encoding.X962, point),
        "JWK": json.dumps(public_jwk(public)).encode(),
        "OpenSSH (CVE-2022-29217)": public.public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        ),
        "nothing": b"",
    }


@pytest.mark.asvs("9.1.2")
@pytest.mark.threat("authorizer-forged-token")
def test_hmac_with_the_public_key_as_secret_cve_2015_9235(thief):
    tokens = {}
    for spelling, secret in public_key_spellings(thief.key).items():
        for alg, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
            signing_input = thief.signing_input(header=thief.header(alg=alg))
            mac = hmac.digest(secret, signing_input.encode(), digest)
            tokens[spelling, alg] = f"{signing_input}.{base64url(mac)}"
        signing_input = thief.signing_input()  # the header says ES256, the signature is the same HMAC twice
        mac = hmac.digest(secret, signing_input.encode(), "sha256")
        tokens[spelling, "ES256"] = f"{signing_input}.{base64url(mac * 2)}"
    assert len(tokens) == 28
    assert accepted(tokens) == []


# --- The signature ------------------------------------------------------------------------------------------------


def test_psychic_signatures_cve_2022_21449(thief):
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (N, N), (N, 1), (1, N), (N - 1, N - 1), (2**256 - 1, 2**256 - 1)]
    signatures = {(r, s): base64url(r.to_bytes(32) + s.to_bytes(32)) for r, s in pairs}
    assert accepted({pair: f"{thief.signing_input()}.{text}" for pair, text in signatures.items()}) == []


def test_a_signature_in_der(thief):
    signing_input = thief.signing_input()
    der = thief.key.sign(signing_input.encode(), ec.ECDSA(SHA256()))
    assert refuses(f"{signing_input}.{base64url(der)}")


def test_a_truncated_signature(thief):
    signing_input = thief.signing_input()
    signature = raw_signature(thief.key, signing_input.encode())
    for length in (0, 1, 31, 32, 33, 63):
        assert refuses(f"{signing_input}.{base64url(signature[:length])}")
        assert refuses(f"{signing_input}.{base64url(signature[:length].ljust(64, bytes(1)))}")


def test_a_signature_with_something_behind_it(thief):
    signing_input = thief.signing_input()
    signature = raw_signature(thief.key, signing_input.encode())
    assert refuses(f"{signing_input}.{base64url(signature + bytes(1))}")
    assert refuses(f"{signing_input}.{base64url(signature * 2)}")


@pytest.mark.asvs("9.1.1")
def test_a_signature_of_another_token(thief):
    other = thief.token(claims=thief.claims(role="admin"))
    assert refuses(f"{thief.signing_input()}.{other.split('.')[2]}")


@pytest.mark.asvs("9.1.1")
def test_a_swapped_payload(thief):
    header, _, signature = thief.token().split(".")
    payload = base64url(json.dumps(thief.claims(role="admin")).encode())
    assert refuses(f"{header}.{payload}.{signature}")


def test_a_swapped_header(thief):
    _, payload, signature = thief.token().split(".")
    assert refuses(f"{base64url(json.dumps(thief.header(), indent=1).encode())}.{payload}.{signature}")


@pytest.mark.asvs("9.1.1")
def test_signed_with_another_key_under_our_key_id(thief):
    assert refuses(Forger(ec.generate_private_key(ec.SECP256R1()), thief.kid).token())


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1()], ids=lambda curve: curve.name)
def test_signed_on_another_curve(thief, curve):
    other = ec.generate_private_key(curve)
    for header in (thief.header(), thief.header(alg="ES384"), thief.header(alg="ES256K")):
        signing_input = thief.signing_input(header=header)
        signature = raw_signature(other, signing_input.encode())
        assert refuses(f"{signing_input}.{base64url(signature)}")
        assert refuses(f"{signing_input}.{base64url(signature[:64])}")


def test_a_malleated_signature_is_still_the_same_token(thief):
    """(r, n - s) is as good as (r, s) in ECDSA: hence nothing may tell tokens apart by their bytes, but by ``jti``."""
    header, payload, signature = thief.token().split(".")
    octets = base64.urlsafe_b64decode(signature + "==")
    flipped = octets[:32] + (N - int.from_bytes(octets[32:])).to_bytes(32)
    assert verify_access_token(f"{header}.{payload}.{base64url(flipped)}").token_id == TOKEN_ID


# --- The header ---------------------------------------------------------------------------------------------------


@pytest.mark.asvs("9.2.2")
def test_another_typ_rfc_8725_3_11(thief):
    """An ID token, a DPoP proof or the second-factor token of a login is not an access token."""
    types = ["JWT", "at+JWT", "AT+JWT", "application/at+jwt", "mfa+jwt", "dpop+jwt", "", None, 1, ["at+jwt"]]
    assert accepted(with_header(thief, "typ", [ABSENT, *types])) == []


UNKNOWN_KIDS: list[object] = [
    ABSENT,
    None,
    "",
    0,
    True,
    [],
    {},
    "A" * 43,
    "A" * 44,
    "../../../../dev/null",
    "/dev/null",
    "keys/signing-key.pem",
    "file:///etc/passwd",
    "https://attacker.example/key",
    "' UNION SELECT 'x' --",
    "'; DROP TABLE users; --",
    "$(id)",
    "| id",
    "%00",
    "\x00",
    "a\nb",
    "{{7*7}}",
    "é" * 43,
    "A" * 5_000,
    "__proto__",
]


@pytest.mark.asvs("1.3.6", "9.1.3")
def test_an_unknown_kid_is_never_a_path_a_query_or_a_url_rfc_8725_3_10(thief):
    assert accepted(with_header(thief, "kid", UNKNOWN_KIDS)) == []


def test_our_kid_with_something_around_it(thief):
    for kid in (f"{thief.kid}\n", f" {thief.kid}", f"{thief.kid}=", f"./{thief.kid}", thief.kid.swapcase()):
        assert refuses(thief.token(header=thief.header(kid=kid)))


@pytest.mark.asvs("9.1.3")
@pytest.mark.threat("authorizer-forged-token")
def test_a_key_of_the_attackers_in_the_header_cve_2018_0114(thief):
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = public_jwk(key.public_key())
    for kid in (thief.kid, jwk["kid"]):
        attacker = Forger(key, kid)
        assert refuses(attacker.token(header=attacker.header(jwk=jwk)))


FURTHER_PARAMETERS = [
    ("jku", "https://attacker.example/jwks.json"),
    ("x5u", "https://attacker.example/chain.pem"),
    ("jwk", {"kty": "EC"}),
    ("x5c", ["MIIB"]),
    ("x5t", "AAAA"),
    ("x5t#S256", "AAAA"),
    ("crit", ["exp"]),
    ("crit", []),
    ("crit", ["b64"]),
    ("b64", True),
    ("b64", False),
    ("cty", "JWT"),
    ("cty", "at+jwt"),
    ("zip", "DEF"),
    ("enc", "A256GCM"),
    ("epk", {}),
    ("p2c", 2**31),
    ("nonce", "x"),
    ("iss", "secure-backend"),
    ("ALG", "none"),
    ("", ""),
]


@pytest.mark.asvs("1.3.6", "9.1.3")
def test_any_further_header_parameter_rfc_8725_3_10(thief):
    tokens = {
        (name, str(value)): thief.token(header=thief.header(**{name: value})) for name, value in FURTHER_PARAMETERS
    }
    assert accepted(tokens) == []


def test_an_unencoded_payload_rfc_7797(thief):
    header = thief.header(b64=False, crit=["b64"])
    signed = base64url(json.dumps(header).encode()) + "." + json.dumps(thief.claims())
    signature = base64url(raw_signature(thief.key, signed.encode()))
    assert refuses(f"{signed}.{signature}")
    assert refuses(f"{signed.split('.')[0]}..{signature}")


def test_a_repeated_header_parameter_rfc_7515_4(thief):
    for header in (
        f'{{"alg":"none","typ":"at+jwt","kid":"{thief.kid}","alg":"ES256"}}',
        f'{{"alg":"ES256","typ":"JWT","typ":"at+jwt","kid":"{thief.kid}"}}',
        f'{{"alg":"ES256","typ":"at+jwt","kid":"x","kid":"{thief.kid}"}}',
        f'{{"alg":"ES256","typ":"at+jwt","kid":"x","\\u006bid":"{thief.kid}"}}',
    ):
        assert refuses(thief.token(header=header.encode()))


# --- The claims ---------------------------------------------------------------------------------------------------


@pytest.mark.asvs("10.3.3")
def test_another_issuer_rfc_8725_3_8(thief):
    issuers: list[object] = [
        "",
        "secure-backend/",
        "Secure-Backend",
        "https://attacker.example",
        None,
        1,
        ["secure-backend"],
        {},
    ]
    assert accepted(with_claim(thief, "iss", issuers)) == []


@pytest.mark.asvs("9.2.3", "10.3.1")
def test_another_audience_or_a_list_of_them_rfc_8725_3_9(thief):
    audience = "secure-backend-users"
    others = ["", "secure-backend", "secure-backend-mfa", f"{audience} ", audience.upper()]
    odd: list[object] = [[audience], [audience, "another"], [], None, 1, {}]
    assert accepted(with_claim(thief, "aud", [*others, *odd])) == []


def test_the_token_between_two_factors_opens_nothing(thief):
    """What a login answers before the second factor: another ``typ`` and another ``aud``, each enough to refuse it."""
    assert refuses(thief.token(header=thief.header(typ="mfa+jwt"), claims=thief.claims(aud="secure-backend-mfa")))
    assert refuses(thief.token(header=thief.header(typ="mfa+jwt")))
    assert refuses(thief.token(claims=thief.claims(aud="secure-backend-mfa")))


CLAIMS = ["iss", "aud", "sub", "role", "iat", "nbf", "exp", "jti", "sid", "tv", "amr", "auth_time"]


def with_each_claim(thief, change):
    """Return a token for each claim, with ``change(value)`` in its place."""
    good = thief.claims()
    return {claim: thief.token(claims=thief.claims(**{claim: change(good[claim])})) for claim in CLAIMS}


def test_a_missing_claim(thief):
    assert accepted(with_each_claim(thief, lambda _: ABSENT)) == []


def test_a_claim_of_a_wrong_type(thief):
    for claim in CLAIMS:
        assert accepted(with_claim(thief, claim, [None, {}, [[]], 1.5, True])) == []


@pytest.mark.asvs("15.3.5")
def test_a_string_where_a_number_belongs_and_the_reverse(thief):
    assert accepted(with_each_claim(thief, lambda good: str(good) if isinstance(good, int) else 7)) == []


@pytest.mark.asvs("1.5.3")
def test_a_repeated_claim_rfc_8725_3_2(thief):
    """The last one wins with most parsers, the first with others."""
    claims = thief.claims()
    document = json.dumps(claims)[1:]
    repeated = {claim: f'{{"{claim}":{json.dumps(claims[claim])},{document}' for claim in CLAIMS}
    assert accepted({claim: thief.token(claims=text.encode()) for claim, text in repeated.items()}) == []


def test_a_claim_with_a_lone_surrogate(thief):
    tokens = with_each_claim(thief, lambda good: [f"{good[0]}\ud800"] if isinstance(good, list) else f"{good}\ud800")
    assert accepted(tokens) == []


@pytest.mark.asvs("1.4.2")
def test_a_number_that_is_no_integer_or_beyond_all_bounds(thief):
    tokens = {}
    for claim in ("iat", "nbf", "exp", "auth_time", "tv"):
        document = json.dumps(thief.claims(**{claim: "HERE"}))
        for number in ("1e999", "-1e999", "NaN", "Infinity", "9" * 5_000, "4102444800.0", "1E9"):
            tokens[claim, number] = thief.token(claims=document.replace('"HERE"', number).encode())
    assert accepted(tokens) == []


def test_a_time_beyond_all_clocks(thief):
    for number in (2**63, 10**30, 10**300):
        assert accepted(with_claim(thief, "nbf", [number]) | with_claim(thief, "iat", [number])) == []
        assert accepted(with_claim(thief, "exp", [-number])) == []


@pytest.mark.asvs("9.2.1")
def test_not_yet_valid_rfc_7519_4_1_5(thief):
    now = int(time.time())
    for claim in ("nbf", "iat"):
        assert refuses(thief.token(claims=thief.claims(**{claim: now + LEEWAY + 10})))
        assert not refuses(thief.token(claims=thief.claims(**{claim: now + LEEWAY - 10})))


@pytest.mark.asvs("9.2.1")
def test_expired_rfc_7519_4_1_4(thief):
    now = int(time.time())
    assert refuses(thief.token(claims=thief.claims(exp=now - LEEWAY - 1)))
    assert refuses(thief.token(claims=thief.claims(exp=0)))
    assert not refuses(thief.token(claims=thief.claims(exp=now - LEEWAY + 10)))


def test_the_leeway_is_a_setting(thief, monkeypatch):
    now = int(time.time())
    monkeypatch.setenv("CLOCK_LEEWAY", "0")
    start_fresh_environment()
    assert refuses(thief.token(claims=thief.claims(exp=now - 1)))
    assert refuses(thief.token(claims=thief.claims(nbf=now + 10)))


@pytest.mark.asvs("10.3.3")
def test_an_id_that_is_no_uuid(thief):
    for claim in ("sub", "jti", "sid"):
        assert accepted(with_claim(thief, claim, ["", "1", "admin", "' OR 1=1 --", "../1", "é", "0" * 33])) == []


def test_an_amr_that_is_no_list_of_strings(thief):
    values = ["pwd", ["pwd", None], ["pwd", 1], [["pwd"]], {"pwd": True}]
    assert accepted(with_claim(thief, "amr", values)) == []


NO_OBJECTS = [b"", b"[]", b"null", b'"x"', b"7", b"{", b"\xff", b"{}", b"\xef\xbb\xbf{}", b"[" * 3_000]


def test_a_payload_that_is_no_object(thief):
    assert accepted({payload: thief.token(claims=payload) for payload in NO_OBJECTS}) == []


def test_a_header_that_is_no_object(thief):
    assert accepted({header: thief.token(header=header) for header in NO_OBJECTS}) == []


# --- The form -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("environment")
def test_no_token_at_all():
    texts = ["", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", "null", "undefined", "Bearer x"]
    assert accepted({text: text for text in texts}) == []


def test_an_encrypted_token_has_five_parts_cve_2022_3102(thief):
    assert refuses(f"{thief.token()}.{'A' * 22}.{'A' * 22}")
    assert refuses(f"{thief.signing_input()}.{'A' * 22}.{'A' * 22}.{'A' * 86}")


def test_json_serialisation_rfc_7515_7_2(thief):
    protected, payload, signature = thief.token().split(".")
    assert refuses(json.dumps({"protected": protected, "payload": payload, "signature": signature}))


def test_whitespace_and_other_things_around_it(thief):
    blanks = ["{}\n", "\n{}", " {}", "{} ", "{}\x00"]
    others = ["{}=", "{}.", ".{}", "\ufeff{}", "{}\u200b", '"{}"']
    assert accepted({change: change.format(thief.token()) for change in blanks + others}) == []


def test_padded_base64_rfc_7515_2(thief):
    parts = thief.token().split(".")
    for number, part in enumerate(parts):
        for padding in ("=", "=="):
            assert refuses(".".join([*parts[:number], part + padding, *parts[number + 1 :]]))


def test_the_other_base64_alphabet(thief):
    token = next(token for token in iter(thief.token, None) if "-" in token.split(".")[2] or "_" in token.split(".")[2])
    assert refuses(token.replace("-", "+").replace("_", "/"))


def test_newlines_inside_base64(thief):
    token = thief.token()
    for place in (5, token.index(".") + 5, len(token) - 5):
        for blank in "\n\r\t ":
            assert refuses(token[:place] + blank + token[place:])


def test_another_spelling_of_the_last_character_rfc_4648_3_5(thief):
    """Its low bits are no part of the signature; a decoder that ignores them takes 16 spellings of one token."""
    token = thief.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert [letter for letter in alphabet if not refuses(token[:-1] + letter)] == [token[-1]]


def test_characters_that_are_not_ascii(thief):
    token = thief.token()
    assert refuses(token + "é")
    assert refuses(token.replace(".", "\uff0e"))  # a full-width full stop
    assert refuses(token.replace("e", "\u0435", 1))  # a Cyrillic "e"
    assert refuses("\ud800" * 100)
    assert refuses("\u0661" * 200)


@pytest.mark.asvs("15.2.2")
@pytest.mark.threat("authorizer-huge-token")
def test_a_token_of_100_kb_is_refused_unparsed(thief):
    assert refuses(thief.token(claims=thief.claims(padding="a" * 100_000)))
    assert refuses("a" * 100_000)
    assert refuses("." * 100_000)
    assert refuses("[" * 100_000)


@pytest.mark.asvs("4.2.5")
def test_the_limit_is_8_kib(thief):
    tokens = [thief.token(claims=thief.claims(padding="a" * length)) for length in range(5_300, 5_700)]
    assert {refuses(token) for token in tokens if len(token) <= LONGEST} == {False}
    assert {refuses(token) for token in tokens if len(token) > LONGEST} == {True}


def test_keys_of_other_kinds_are_no_way_in(thief):
    """An attacker's RSA or Ed25519 signature under our key id."""
    signing_input = thief.signing_input()
    assert refuses(f"{signing_input}.{base64url(ed25519.Ed25519PrivateKey.generate().sign(signing_input.encode()))}")
    pem = rsa.generate_private_key(65537, 2048)
    token = jwt.encode(thief.claims(), pem, algorithm="RS256", headers={"typ": "at+jwt", "kid": thief.kid})
    assert refuses(token)


# --- Anything at all ----------------------------------------------------------------------------------------------


@given(token=st.text() | st.from_regex(r"\A[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{86}\Z"))
@pytest.mark.usefixtures("environment")
def test_no_text_is_a_token(token):
    assert refuses(token)


@pytest.mark.asvs("7.2.1", "9.1.1")
@pytest.mark.threat("authorizer-forged-token")
@given(data=st.data())
def test_no_mutation_of_a_token_is_a_token(thief, data):
    token = thief.token()
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, min(len(token), start + 10)))
    mutated = token[:start] + data.draw(st.text(st.characters(codec="ascii"), max_size=10)) + token[end:]
    assume(mutated != token)
    assert refuses(mutated)


@given(octets=st.binary(min_size=64, max_size=64))
def test_no_bytes_are_a_signature(thief, octets):
    assert refuses(f"{thief.signing_input()}.{base64url(octets)}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@pytest.mark.asvs("11.2.5")
@given(
    claim=st.sampled_from(["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "sid", "tv", "amr", "auth_time"]),
    value=json_values,
)
def test_odd_claims_raise_no_other_error(thief, claim, value):
    """Whatever a stolen key signs: refused, or accepted with claims of the right types. Never another exception."""
    try:
        claims = verify_access_token(thief.token(claims=thief.claims(**{claim: value})))
    except InvalidToken:
        return
    assert type(claims.expires_at) is type(claims.auth_time) is type(claims.token_version) is int
