"""Attacks on access tokens, each named after the advisory or the RFC section that describes it.

Outside the signature attacks, all tokens are signed with the real key, so they are rejected for their content.
"""

import base64
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import assume, given
from hypothesis import strategies as st

from auth_common.errors import InvalidToken
from auth_common.keys.jwk import public_jwk
from auth_common.settings import LOCAL_ISSUER
from auth_common.tokens.access_tokens import AccessClaims, issue_access_token, verify_access_token
from auth_common.tokens.signed_tokens import MAX_TOKEN_BYTES, StrictJWS
from tests.support.databases import start_fresh_environment
from tests.support.forged_tokens import (
    ABSENT,
    SESSION_ID,
    TOKEN_ID,
    USER_ID,
    Forger,
    Verifier,
    base64url,
    forger_with_stolen_key,
    json_values,
    raw_signature,
)

pytestmark = pytest.mark.tokens

#: The order of P-256.
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
LEEWAY_SECONDS = 30
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
CLAIMS = ["iss", "aud", "sub", "role", "iat", "nbf", "exp", "jti", "sid", "tv", "amr", "auth_time"]

verifier = Verifier(verify_access_token, InvalidToken)
rejects, accepted = verifier.rejects, verifier.accepted_names


@pytest.fixture
def attacker(environment) -> Forger:
    return forger_with_stolen_key()


def with_header(attacker, name, values):
    """Return a token for each value of a header parameter, by the value."""
    return {repr(value): attacker.token(header=attacker.header(**{name: value})) for value in values}


def with_claim(attacker, name, values):
    """Return a token for each value of a claim, by the claim and value."""
    return {f"{name}: {value!r}": attacker.token(claims=attacker.claims(**{name: value})) for value in values}


def with_each_claim(attacker, change):
    """Return a token for each claim, in which ``change(value)`` replaces the value of the claim."""
    good = attacker.claims()
    return {claim: attacker.token(claims=attacker.claims(**{claim: change(good[claim])})) for claim in CLAIMS}


# --- Good tokens --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("environment")
def test_issued_token_is_accepted_with_its_claims():
    now = int(time.time())
    said: dict[str, Any] = {
        "user_id": USER_ID,
        "role": "admin",
        "session_id": SESSION_ID,
        "token_version": 3,
        "amr": ("pwd", "hwk"),
    }
    claims = verify_access_token(issue_access_token(**said, auth_time=now - 60, now=now))
    assert claims == AccessClaims(**said, auth_time=now - 60, expires_at=now + 900, token_id=claims.token_id)


def test_forged_token_without_a_change_is_accepted(attacker):
    """Otherwise every test below could pass for the wrong reason."""
    assert verify_access_token(attacker.token()).token_id == TOKEN_ID


# --- The algorithm ------------------------------------------------------------------------------------------------


@pytest.mark.asvs("9.1.2", "11.4.3")
@pytest.mark.threat("authorizer-forged-token")
def test_alg_none_or_another_is_rejected_rfc_8725_2_1(attacker):
    unsigned = {
        (alg, signature): f"{attacker.signing_input(header=attacker.header(alg=alg))}.{signature}"
        for alg in ("none", "None", "NONE", "nOnE", "")
        for signature in ("", "A" * 86, "AA")
    }
    known = ["ES384", "ES512", "ES256K", "RS256", "PS256", "HS256", "EdDSA"]
    odd: list[object] = ["es256", "ES256 ", "Es256", None, 256, ["ES256"], {}]
    assert accepted(unsigned | with_header(attacker, "alg", [*known, *odd])) == []


def public_key_spellings(key):
    public, encoding, form = key.public_key(), serialization.Encoding, serialization.PublicFormat
    pem = public.public_bytes(encoding.PEM, form.SubjectPublicKeyInfo)
    return {
        "PEM": pem,
        "PEM, stripped": pem.strip(),
        "DER": public.public_bytes(encoding.DER, form.SubjectPublicKeyInfo),
        "point": public.public_bytes(encoding.X962, form.UncompressedPoint),
        "JWK": json.dumps(public_jwk(public)).encode(),
        "OpenSSH (CVE-2022-29217)": public.public_bytes(encoding.OpenSSH, form.OpenSSH),
        "nothing": b"",
    }


@pytest.mark.asvs("9.1.2")
@pytest.mark.threat("authorizer-forged-token")
def test_hmac_with_the_public_key_is_rejected_cve_2015_9235(attacker):
    tokens = {}
    for spelling, secret in public_key_spellings(attacker.key).items():
        for alg, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
            signing_input = attacker.signing_input(header=attacker.header(alg=alg))
            mac = hmac.digest(secret, signing_input.encode(), digest)
            tokens[spelling, alg] = f"{signing_input}.{base64url(mac)}"
        signing_input = attacker.signing_input()  # The header says ES256, and the signature is the same HMAC twice.
        mac = hmac.digest(secret, signing_input.encode(), "sha256")
        tokens[spelling, "ES256"] = f"{signing_input}.{base64url(mac * 2)}"
    assert len(tokens) == 28
    assert accepted(tokens) == []


# --- The signature ------------------------------------------------------------------------------------------------


@pytest.mark.asvs("9.1.1")
def test_invalid_signature_is_rejected_cve_2022_21449(attacker):
    signing_input = attacker.signing_input()
    signature = raw_signature(attacker.key, signing_input.encode())
    psychic = [(0, 0), (0, 1), (1, 0), (1, 1), (N, N), (N, 1), (1, N), (N - 1, N - 1), (2**256 - 1, 2**256 - 1)]
    truncated = [signature[:length] for length in (0, 1, 31, 32, 33, 63)]
    signatures: dict[object, bytes] = {
        "DER": attacker.key.sign(signing_input.encode(), ec.ECDSA(SHA256())),
        "a byte more": signature + bytes(1),
        "twice": signature * 2,
        **{(r, s): r.to_bytes(32) + s.to_bytes(32) for r, s in psychic},
        **{len(short): short for short in truncated},
        **{f"{len(short)} and zeros": short.ljust(64, bytes(1)) for short in truncated},
    }
    tokens = {name: f"{signing_input}.{base64url(octets)}" for name, octets in signatures.items()}
    header, payload, text = attacker.token().split(".")
    admin = attacker.token(claims=attacker.claims(role="admin")).split(".")
    tokens["of another token"] = f"{signing_input}.{admin[2]}"
    tokens["another payload"] = f"{header}.{admin[1]}.{text}"
    tokens["another header"] = f"{base64url(json.dumps(attacker.header(), indent=1).encode())}.{payload}.{text}"
    tokens["another key under our id"] = Forger(ec.generate_private_key(ec.SECP256R1()), attacker.kid).token()
    assert accepted(tokens) == []


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1()], ids=lambda curve: curve.name)
def test_signature_on_another_curve_is_rejected(attacker, curve):
    other = ec.generate_private_key(curve)
    for header in (attacker.header(), attacker.header(alg="ES384"), attacker.header(alg="ES256K")):
        signing_input = attacker.signing_input(header=header)
        signature = raw_signature(other, signing_input.encode())
        assert rejects(f"{signing_input}.{base64url(signature)}")
        assert rejects(f"{signing_input}.{base64url(signature[:64])}")


def test_signature_of_an_rsa_or_ed25519_key_is_rejected(attacker):
    signing_input = attacker.signing_input()
    assert rejects(f"{signing_input}.{base64url(ed25519.Ed25519PrivateKey.generate().sign(signing_input.encode()))}")
    key, header = rsa.generate_private_key(65537, 2048), {"typ": "at+jwt", "kid": attacker.kid}
    assert rejects(jwt.encode(attacker.claims(), key, algorithm="RS256", headers=header))


def test_malleated_signature_is_still_the_same_token(attacker):
    """In ECDSA (r, n - s) is valid if (r, s) is. So tokens must be compared by ``jti``, and not by their bytes."""
    header, payload, signature = attacker.token().split(".")
    octets = base64.urlsafe_b64decode(signature + "==")
    flipped = octets[:32] + (N - int.from_bytes(octets[32:])).to_bytes(32)
    assert verify_access_token(f"{header}.{payload}.{base64url(flipped)}").token_id == TOKEN_ID


# --- The header ---------------------------------------------------------------------------------------------------


#: Among them paths, queries and URLs (RFC 8725 section 3.10).
UNKNOWN_KIDS: list[object] = [
    *(ABSENT, None, "", 0, True, [], {}, "A" * 43, "A" * 44, "é" * 43, "A" * 5_000, "__proto__"),
    *("../../../../dev/null", "/dev/null", "keys/signing-key.pem", "file:///etc/passwd"),
    *("https://attacker.example/key", "' UNION SELECT 'x' --", "'; DROP TABLE users; --"),
    *("$(id)", "| id", "%00", "\x00", "a\nb", "{{7*7}}"),
]


@pytest.mark.asvs("1.3.6", "9.1.3", "9.2.2")
def test_header_with_another_typ_or_kid_is_rejected_rfc_8725_3_10(attacker):
    """ID tokens, DPoP proofs and MFA tokens are not access tokens (RFC 8725 section 3.11)."""
    types = ["JWT", "at+JWT", "AT+JWT", "application/at+jwt", "mfa+jwt", "dpop+jwt", "", None, 1, ["at+jwt"]]
    assert accepted(with_header(attacker, "typ", [ABSENT, *types])) == []
    ours = attacker.kid
    kids = [*UNKNOWN_KIDS, f"{ours}\n", f" {ours}", f"{ours}=", f"./{ours}", ours.swapcase()]
    assert accepted(with_header(attacker, "kid", kids)) == []


@pytest.mark.asvs("9.1.3")
@pytest.mark.threat("authorizer-forged-token")
def test_key_of_an_attacker_in_the_header_is_rejected_cve_2018_0114(attacker):
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = public_jwk(key.public_key())
    for kid in (attacker.kid, jwk["kid"]):
        forged = Forger(key, kid)
        assert rejects(forged.token(header=forged.header(jwk=jwk)))


FURTHER_PARAMETERS = [
    *(("jku", "https://attacker.example/jwks.json"), ("x5u", "https://attacker.example/chain.pem"), ("", "")),
    *(("jwk", {"kty": "EC"}), ("x5c", ["MIIB"]), ("x5t", "AAAA"), ("x5t#S256", "AAAA"), ("crit", ["exp"])),
    *(("crit", []), ("crit", ["b64"]), ("b64", True), ("b64", False), ("cty", "JWT"), ("cty", "at+jwt")),
    *(("zip", "DEF"), ("enc", "A256GCM"), ("epk", {}), ("p2c", 2**31), ("nonce", "x"), ("iss", LOCAL_ISSUER)),
    ("ALG", "none"),
]


@pytest.mark.asvs("1.3.6", "9.1.3")
def test_further_header_parameter_is_rejected_rfc_8725_3_10(attacker):
    headers = [(name, value, attacker.header(**{name: value})) for name, value in FURTHER_PARAMETERS]
    assert accepted({(name, str(value)): attacker.token(header=header) for name, value, header in headers}) == []


def test_unencoded_payload_is_rejected_rfc_7797(attacker):
    header = attacker.header(b64=False, crit=["b64"])
    signed = base64url(json.dumps(header).encode()) + "." + json.dumps(attacker.claims())
    signature = base64url(raw_signature(attacker.key, signed.encode()))
    assert rejects(f"{signed}.{signature}")
    assert rejects(f"{signed.split('.')[0]}..{signature}")


def test_repeated_header_parameter_is_rejected_rfc_7515_4(attacker):
    for header in (
        f'{{"alg":"none","typ":"at+jwt","kid":"{attacker.kid}","alg":"ES256"}}',
        f'{{"alg":"ES256","typ":"JWT","typ":"at+jwt","kid":"{attacker.kid}"}}',
        f'{{"alg":"ES256","typ":"at+jwt","kid":"x","kid":"{attacker.kid}"}}',
        f'{{"alg":"ES256","typ":"at+jwt","kid":"x","\\u006bid":"{attacker.kid}"}}',
    ):
        assert rejects(attacker.token(header=header.encode()))


# --- The claims ---------------------------------------------------------------------------------------------------


def test_mfa_token_is_rejected_as_an_access_token(attacker):
    """An MFA token has another ``typ`` and another ``aud``. Each of them alone is enough to reject it."""
    typ, aud = attacker.header(typ="mfa+jwt"), attacker.claims(aud="secure-backend-mfa")
    assert rejects(attacker.token(header=typ, claims=aud))
    assert rejects(attacker.token(header=typ))
    assert rejects(attacker.token(claims=aud))


AUDIENCE = "secure-backend-users"
#: Values that are rejected, by claim (RFC 8725 sections 3.8 and 3.9).
ODD_VALUES: dict[str, list[object]] = {
    "iss": [
        *(
            "",
            f"{LOCAL_ISSUER}/",
            LOCAL_ISSUER.upper(),
            "http://LOCALHOST:8000",
            "http://localhost",
            f" {LOCAL_ISSUER}",
        ),
        *("https://localhost:8000", "secure-backend", "https://attacker.example", None, 1, [LOCAL_ISSUER], {}),
    ],
    "aud": [
        *("", "secure-backend", "secure-backend-mfa", f"{AUDIENCE} ", AUDIENCE.upper(), [AUDIENCE]),
        *([AUDIENCE, "another"], [], None, 1, {}),
    ],
    **{claim: ["", "1", "admin", "' OR 1=1 --", "../1", "é", "0" * 33] for claim in ("sub", "jti", "sid")},
    "amr": ["pwd", ["pwd", None], ["pwd", 1], [["pwd"]], {"pwd": True}],
    # Later than any clock.
    **{claim: [2**63, 10**30, 10**300] for claim in ("nbf", "iat")},
    "exp": [0, -(2**63), -(10**30), -(10**300)],
}


@pytest.mark.asvs("9.2.3", "10.3.1", "10.3.3")
@pytest.mark.parametrize("claim", CLAIMS)
def test_claim_of_another_value_or_type_is_rejected(attacker, claim):
    values = [*ODD_VALUES.get(claim, ()), None, {}, [[]], 1.5, True]
    assert accepted(with_claim(attacker, claim, values)) == []


@pytest.mark.asvs("15.3.5")
def test_claim_that_is_missing_or_of_a_similar_type_is_rejected(attacker):
    """Strings instead of numbers, numbers instead of strings, and strings with a lone surrogate."""
    assert accepted(with_each_claim(attacker, lambda _: ABSENT)) == []
    assert accepted(with_each_claim(attacker, lambda good: str(good) if isinstance(good, int) else 7)) == []
    broken = with_each_claim(attacker, lambda good: [f"{good[0]}\ud800"] if isinstance(good, list) else f"{good}\ud800")
    assert accepted(broken) == []


@pytest.mark.asvs("1.5.3")
def test_repeated_claim_is_rejected_rfc_8725_3_2(attacker):
    """Most parsers return the last value, others the first."""
    claims = attacker.claims()
    document = json.dumps(claims)[1:]
    repeated = {claim: f'{{"{claim}":{json.dumps(claims[claim])},{document}' for claim in CLAIMS}
    assert accepted({claim: attacker.token(claims=text.encode()) for claim, text in repeated.items()}) == []


@pytest.mark.asvs("1.4.2")
def test_number_that_is_not_an_integer_or_too_large_is_rejected(attacker):
    tokens = {}
    for claim in ("iat", "nbf", "exp", "auth_time", "tv"):
        document = json.dumps(attacker.claims(**{claim: "HERE"}))
        for number in ("1e999", "-1e999", "NaN", "Infinity", "9" * 5_000, "4102444800.0", "1E9"):
            tokens[claim, number] = attacker.token(claims=document.replace('"HERE"', number).encode())
    assert accepted(tokens) == []


@pytest.mark.asvs("9.2.1")
@pytest.mark.parametrize("leeway", [LEEWAY_SECONDS, 0])
def test_token_outside_its_times_is_rejected_rfc_7519_4_1(attacker, monkeypatch, leeway):
    monkeypatch.setenv("CLOCK_LEEWAY", str(leeway))
    start_fresh_environment()
    now = int(time.time())
    late = {claim: attacker.token(claims=attacker.claims(**{claim: now + leeway + 10})) for claim in ("nbf", "iat")}
    assert accepted({**late, "exp": attacker.token(claims=attacker.claims(exp=now - leeway - 1))}) == []
    if leeway:
        near = [{"nbf": now + leeway - 10}, {"iat": now + leeway - 10}, {"exp": now - leeway + 10}]
        assert not any(rejects(attacker.token(claims=attacker.claims(**times))) for times in near)


NOT_OBJECTS = [b"", b"[]", b"null", b'"x"', b"7", b"{", b"\xff", b"{}", b"\xef\xbb\xbf{}", b"[" * 3_000]


def test_payload_or_header_that_is_not_an_object_is_rejected(attacker):
    assert accepted({part: attacker.token(claims=part) for part in NOT_OBJECTS}) == []
    assert accepted({part: attacker.token(header=part) for part in NOT_OBJECTS}) == []


# --- The form -----------------------------------------------------------------------------------------------------


#: A token replaces the braces.
AROUND = ["{}\n", "\n{}", " {}", "{} ", "{}\x00", "{}=", "{}.", ".{}", "\ufeff{}", "{}\u200b", '"{}"', "{}é"]
NOT_TOKENS = ["", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", "null", "undefined", "Bearer x"]


def test_text_that_is_not_a_token_or_has_more_around_it_is_rejected(attacker):
    """Also an encrypted token, of five parts (CVE-2022-3102), and the JSON serialisation (RFC 7515 section 7.2)."""
    token, cipher = attacker.token(), ".".join(["A" * 22, "A" * 22])
    members = dict(zip(("protected", "payload", "signature"), token.split("."), strict=True))
    changed = [*(change.format(token) for change in AROUND), json.dumps(members), f"{token}.{cipher}"]
    changed += [f"{attacker.signing_input()}.{cipher}.{'A' * 86}", "\ud800" * 100, "\u0661" * 200]
    # A full-width full stop, and a Cyrillic "e".
    changed += [token.replace(".", "\uff0e"), token.replace("e", "\u0435", 1)]
    assert accepted({text: text for text in [*NOT_TOKENS, *changed]}) == []


def test_base64_in_another_spelling_is_rejected_rfc_7515_2(attacker):
    """The low bits of the last character are not part of the signature, so 16 spellings decode to the same bytes."""
    token = next(token for token in iter(attacker.token, None) if set("-_") & set(token.split(".")[2]))
    assert rejects(token.replace("-", "+").replace("_", "/"))
    parts = token.split(".")
    for number, part in enumerate(parts):
        for padding in ("=", "=="):
            assert rejects(".".join([*parts[:number], part + padding, *parts[number + 1 :]]))
    for place in (5, token.index(".") + 5, len(token) - 5):
        for blank in "\n\r\t ":
            assert rejects(token[:place] + blank + token[place:])
    assert [letter for letter in BASE64URL if not rejects(token[:-1] + letter)] == [token[-1]]


def decoded(jws: type[jwt.PyJWS], part: bytes) -> bytes | None:
    try:
        return jws._decode_base64url_segment(part, "payload")
    except (ValueError, jwt.DecodeError):
        return None


@given(st.text(f"{BASE64URL}+/= \n", max_size=12).map(str.encode) | st.binary(max_size=12))
def test_part_of_a_token_is_decoded_as_by_pyjwt_without_padding(part):
    """The service replaces this step of PyJWT, which is slow. If PyJWT renames it, this test fails."""
    expected = None if part.endswith(b"=") else decoded(jwt.PyJWS, part)
    assert decoded(StrictJWS, part) == expected


@pytest.mark.asvs("4.2.5", "15.2.2")
@pytest.mark.threat("authorizer-huge-token")
def test_token_of_more_than_8_kib_is_rejected_unparsed(attacker):
    assert rejects(attacker.token(claims=attacker.claims(padding="a" * 100_000)))
    assert all(rejects(letter * 100_000) for letter in "a.[")
    tokens = [attacker.token(claims=attacker.claims(padding="a" * length)) for length in range(5_580, 5_700)]
    by_length = {(len(token) > MAX_TOKEN_BYTES, rejects(token)) for token in tokens}
    assert by_length == {(False, False), (True, True)}


# --- Any input ----------------------------------------------------------------------------------------------------


@given(token=st.text() | st.from_regex(r"\A[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{86}\Z"))
@pytest.mark.usefixtures("environment")
def test_any_text_is_rejected(token):
    assert rejects(token)


@pytest.mark.asvs("7.2.1", "9.1.1")
@pytest.mark.threat("authorizer-forged-token")
@given(data=st.data())
def test_token_with_any_mutation_is_rejected(attacker, data):
    token = attacker.token()
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, min(len(token), start + 10)))
    mutated = token[:start] + data.draw(st.text(st.characters(codec="ascii"), max_size=10)) + token[end:]
    assume(mutated != token)
    assert rejects(mutated)


@given(octets=st.binary(min_size=64, max_size=64))
def test_any_bytes_as_signature_are_rejected(attacker, octets):
    assert rejects(f"{attacker.signing_input()}.{base64url(octets)}")


@pytest.mark.asvs("11.2.5")
@given(claim=st.sampled_from([claim for claim in CLAIMS if claim != "role"]), value=json_values)
def test_claim_of_any_value_raises_no_other_error(attacker, claim, value):
    """With a stolen key, a token is rejected or has claims of the right types. No other exception is raised."""
    try:
        claims = verify_access_token(attacker.token(claims=attacker.claims(**{claim: value})))
    except InvalidToken:
        return
    assert type(claims.expires_at) is type(claims.auth_time) is type(claims.token_version) is int
