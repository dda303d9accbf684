"""The password policy (NIST SP 800-63B-4, ASVS 5.0 V6.2)."""

from importlib import resources

import pytest

from auth_common.passwords.policy import MAX_LENGTH, MIN_LENGTH, password_faults

pytestmark = pytest.mark.passwords

MADE_OF_KNOWN_WORDS = "must not be made of your name, e-mail address or job title, or of this service's name"
PERSONAL = ("Test Person", "test.person@example.com", "Engineer")


def faults(password, personal=PERSONAL):
    return list(password_faults(password, personal=personal))


GOOD = [
    *("zebra violin 42", "ZEBRAVIOLINQUILT", "zebraviolinquilt", "7391 8264 0157 3948 2", "Ünïcödé übermäßig größe"),
    "五十音順に並べた合言葉は長い方がよい",
    "a test of my violin and the zebra",  # contains "test" of the user's name, and enough other words
    "a" * 60 + " zebra violin quilt 42",  # a repetition, and enough other words after it
]


@pytest.mark.asvs("6.2.5")
@pytest.mark.parametrize("password", GOOD)
def test_good_password_is_accepted_without_composition_rules(password):
    assert faults(password) == []


@pytest.mark.asvs("6.2.1")
def test_length_is_counted_in_characters_after_normalisation():
    assert MIN_LENGTH == 15
    assert "at least 15" in faults("zebra violin 4")[0]
    assert faults("zebra violin 42") == []
    assert "at least 15" in faults("zebra violin\u0301 4")[0]
    assert faults("🦉🌵🎻🧭🪂🧊🥁🪁🛶🧶🪗🥨🧲🪕🧵") == []


@pytest.mark.asvs("6.2.9")
def test_password_of_64_to_256_characters_is_accepted():
    sentence = "the zebra plays violin in a quilt of drums and rain "
    assert faults((sentence * 5)[:64]) == []
    assert faults((sentence * 5)[:MAX_LENGTH]) == []
    assert "at most 256" in faults((sentence * 5)[: MAX_LENGTH + 1])[0]


@pytest.mark.asvs("6.2.4")
def test_common_password_is_rejected_in_any_case_and_width():
    """The 3,000 most common passwords of at least 15 characters get this fault, also if another rule rejects them."""
    text = resources.files("auth_common.passwords").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    commonest = [password for password in text.splitlines() if len(password) >= MIN_LENGTH][:3_000]
    assert len(commonest) == 3_000
    spellings = ["qwertyuiopasdfgh", "QwertyUIOPasdfGH", "\uff11" + "234567890123456"]
    common = ["is one of the commonest passwords"]
    assert [password for password in [*commonest, *spellings] if faults(password) != common] == []


MADE_OF_OWN_DATA = [
    *("Test-Person-Test-Person", "testperson1234567890", "test.person@example.com", "EngineerTestPerson!!"),
    *("2024-engineer-2025-test", "\uff34est \uff30erson Test"),
]
MADE_OF_THE_SERVICE = [
    *("secure backend password", "Secure-Backend-2026!", "my passphrase 123456", "backend.secure.backend"),
]


@pytest.mark.asvs("1.2.9", "6.1.2", "6.2.11")
@pytest.mark.parametrize("password", MADE_OF_OWN_DATA + MADE_OF_THE_SERVICE)
def test_password_of_user_data_or_service_name_is_rejected(password):
    assert faults(password) == [MADE_OF_KNOWN_WORDS]


def test_password_is_checked_against_its_own_users_data():
    assert faults("quilt.zebras@example", ("Another One", "someone@example.org", "Pilot")) == []
    owner = ("Quilt Zebras", "quilt.zebras@example.com", "Pilot")
    assert faults("quilt.zebras@example", owner) == [MADE_OF_KNOWN_WORDS]


@pytest.mark.parametrize("start", ["a" * 18, "abcdefghijklmnopqrst", "abc" * 6, "qazwsx" * 3])
def test_password_that_is_easy_to_guess_is_rejected(start):
    assert faults(start) == ["is too easy to guess. Use several unrelated words"]


@pytest.mark.parametrize("unit", ["crocodile", "llama", "aab", "p4$$w0rd", "elephants"])
def test_long_repetition_of_a_word_is_rejected(unit):
    """Only the beginning is scored. The cut must not leave a part of a word that looks random."""
    repetitions = [unit * number for number in range(41 // len(unit) + 1, MAX_LENGTH // len(unit) + 1)]
    assert [text for text in repetitions if not faults(text)] == []


@pytest.mark.parametrize("suffix", ["4@8({[<369!1|0$5+7%2/" * 10, " and a quilt of rain" * 8, "a" * 200, "1234567890"])
def test_password_with_a_strong_beginning_is_accepted(suffix):
    password = "zebra violin quilt 42"
    assert faults(password) == []
    assert faults((password + suffix)[:MAX_LENGTH]) == []


ABE = ("Abe Fox", "abe.fox@example.com", "QA")
CONTAINS_A_NAME_BY_CHANCE = [
    *((text, ABE) for text in ("5fe2f2a60b988e22f79648305b182eb4", "5fe2abe60b988e22", "!abe%#&/()=?*'<>")),
    ("abe 7391 8264 0157 39", ABE),
    ("550e8400-e29b-41d4-a716-446655440000", ("Dea Bee", "dead@beef.fed", "ABC")),
    ("8b1a9f3c7d5e0246", ("A B C", "a@b.cd", "E F")),
    ("2024-05-17T10:22:33.918264", ("May T", "t@may.example", "T")),
    ("li42na97bo31xi58qu", ("Li Na", "lina@example.com", "Bo")),
    ("a banner of violins over rain", ("Ann Li", "ann@example.com", "QA")),
    ("zebra violin 42", ("李", "1@2.example", "我")),
]


@pytest.mark.parametrize(("password", "personal"), CONTAINS_A_NAME_BY_CHANCE)
def test_password_containing_a_name_by_chance_is_accepted(password, personal):
    assert faults(password, personal) == []


LITTLE_BESIDE_A_NAME = [
    *("a-b-e-f-o-x-a-b-e-f-o-x", "a1b1e1f1o1x1a1b1e1", "abefox1234567890", "abefox 1980-04-14"),
    *("abe 14.04.1980 fox 03.05.1978", "fox 2024 abe 2025 fox", "abefox!!!!!!!!!!", "4bef0x4bef0x4bef0x"),
]


@pytest.mark.asvs("6.2.11")
@pytest.mark.parametrize("password", LITTLE_BESIDE_A_NAME)
def test_name_with_dates_or_separators_is_rejected(password):
    assert faults(password, ABE) != []
