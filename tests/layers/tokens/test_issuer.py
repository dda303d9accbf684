"""The issuer of tokens: the service's own URL, and for one lifetime after a change the previous value too."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from auth_common.errors import InvalidMFAToken, InvalidToken, Misconfigured
from auth_common.settings import LOCAL_ISSUER, learn_issuer, settings
from auth_common.tokens.access_tokens import verify_access_token
from auth_common.tokens.mfa_tokens import verify_mfa_token
from tests.support.events import authorizer_event
from tests.support.forged_tokens import Verifier, forger_with_stolen_key, issue_genuine_token
from tests.support.functions import call_authorizer

pytestmark = [pytest.mark.tokens, pytest.mark.usefixtures("environment")]

rejects = Verifier(verify_access_token, InvalidToken).rejects
URL = "https://login.example.com"
GATEWAY = "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/prod"


@pytest.fixture
def token_of():
    """Return a function that makes a token of an issuer, signed with this service's key."""

    def make(issuer, **claims):
        attacker = forger_with_stolen_key()
        return attacker.token(claims=attacker.claims(iss=issuer, **claims))

    return make


def policy(token, *, issuer=None):
    event = authorizer_event(f"Bearer {token}")
    event["stageVariables"] = None if issuer is None else {"issuer": issuer}
    (statement,) = call_authorizer(event)["policyDocument"]["Statement"]
    return statement["Effect"]


def changed(days=0.0, **more):
    """Return the variables of an issuer that has changed ``days`` ago, or by ``more``, the arguments of a timedelta."""
    then = datetime.now(UTC) - timedelta(days, **more)
    return {
        "TOKEN_ISSUER": URL,
        "PREVIOUS_TOKEN_ISSUER": "secure-backend",
        "TOKEN_ISSUER_CHANGED_AT": then.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


@pytest.mark.asvs("10.3.3")
@pytest.mark.threat("authorizer-foreign-issuer")
def test_issuer_in_another_spelling_is_rejected(set_variables, token_of):
    """Byte for byte (RFC 8414 section 2): a verifier that normalises URLs may accept another issuer's token."""
    set_variables(TOKEN_ISSUER=f"{URL}/prod")
    spellings = [
        *(URL, f"{URL}/", f"{URL}/prod/", f"{URL}/Prod", f"{URL}//prod", f"{URL}/./prod", f"{URL}/%70rod"),
        *(f"{URL}:443/prod", "https://LOGIN.example.com/prod", "HTTPS://login.example.com/prod"),
        *("http://login.example.com/prod", "https://login.example.com./prod", f"{URL}/prod?", f"{URL}/prod#"),
        *("https://attacker.example", "https://login.example.com.attacker.example/prod", LOCAL_ISSUER, ""),
    ]
    assert [issuer for issuer in spellings if policy(token_of(issuer)) != "Deny"] == []
    assert policy(token_of(f"{URL}/prod")) == "Allow"


@pytest.mark.threat("authorizer-foreign-issuer")
@pytest.mark.parametrize("seconds", [-800, 0, 800])
def test_previous_issuer_is_accepted_within_one_lifetime_of_the_change(set_variables, token_of, seconds):
    set_variables(**changed(seconds=seconds))
    assert not rejects(token_of("secure-backend"))
    assert not rejects(token_of(URL))
    assert [rejects(token_of(issuer)) for issuer in ("Secure-Backend", LOCAL_ISSUER)] == [True, True]


@pytest.mark.threat("authorizer-foreign-issuer")
@pytest.mark.parametrize("days", [1, -1, 400, -400])
def test_previous_issuer_after_the_lifetime_is_rejected(set_variables, token_of, days):
    """Also in a new token: an older version of a function, or another stage with the same key, may still sign."""
    set_variables(**changed(days))
    assert rejects(token_of("secure-backend"))
    assert not rejects(token_of(URL))


def test_new_tokens_have_the_new_issuer(set_variables):
    set_variables(**changed())
    assert jwt.decode(issue_genuine_token(), options={"verify_signature": False})["iss"] == URL


def test_mfa_token_of_another_issuer_is_rejected(set_variables):
    set_variables(TOKEN_ISSUER=URL)
    attacker = forger_with_stolen_key()

    def token(issuer):
        claims = attacker.claims(iss=issuer, aud="secure-backend-mfa")
        return attacker.token(header=attacker.header(typ="mfa+jwt"), claims=claims)

    verify_mfa_token(token(URL))
    for issuer in (f"{URL}/", LOCAL_ISSUER):
        with pytest.raises(InvalidMFAToken):
            verify_mfa_token(token(issuer))


# --- The URL of the gateway ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("deployed_settings")
def test_deployed_stage_that_does_not_know_its_url_has_no_issuer(set_variables):
    set_variables(TOKEN_ISSUER="")
    with pytest.raises(Misconfigured, match="TOKEN_ISSUER"):
        settings().issuer()


@pytest.mark.usefixtures("deployed_settings")
def test_stage_of_the_gateway_names_the_issuer_if_no_setting_does(set_variables):
    set_variables(TOKEN_ISSUER="")
    learn_issuer({"issuer": GATEWAY})
    assert settings().issuer() == GATEWAY
    assert settings().accepted_issuers(0) == (GATEWAY,)


@pytest.mark.threat("authorizer-foreign-issuer")
@pytest.mark.usefixtures("deployed_settings")
def test_stage_of_the_gateway_does_not_replace_a_setting_or_the_first_value(set_variables):
    set_variables(TOKEN_ISSUER="")
    for issuer in (GATEWAY, "https://attacker.example"):
        learn_issuer({"issuer": issuer})
        assert settings().issuer() == GATEWAY
    set_variables(TOKEN_ISSUER=URL)
    learn_issuer({"issuer": GATEWAY})
    assert settings().issuer() == URL


def test_local_stage_keeps_its_issuer_under_a_simulated_gateway(set_variables, token_of):
    """SAM CLI sends the URL of a gateway that does not exist."""
    set_variables(TOKEN_ISSUER="")
    assert policy(token_of(LOCAL_ISSUER), issuer=GATEWAY) == "Allow"
    assert policy(token_of(GATEWAY), issuer=GATEWAY) == "Deny"


@pytest.mark.threat("authorizer-foreign-issuer")
def test_host_of_a_request_does_not_name_the_issuer(set_variables, token_of):
    set_variables(TOKEN_ISSUER="")
    event = authorizer_event(f"Bearer {token_of('https://attacker.example')}")
    for name in ("Host", "X-Forwarded-Host", "Forwarded"):
        event["multiValueHeaders"][name] = ["attacker.example"]
    event["requestContext"]["domainName"] = "attacker.example"
    (statement,) = call_authorizer(event)["policyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
