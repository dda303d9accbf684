"""Which passwords are good enough (NIST SP 800-63B-4, ASVS 5.0 V6.2)."""

from importlib import resources

import pytest

from auth_common.security.password_policy import LONGEST, SHORTEST, password_faults

pytestmark = pytest.mark.passwords

MADE_OF_KNOWN_WORDS = "must not be made of your name, e-mail address or job title, or of this service's name"
PERSONAL = ("Test Person", "test.person@example.com", "Engineer")


def faults(password, personal=PERSONAL):
    return list(password_faults(password, personal=personal))


@pytest.mark.asvs("6.2.5")
@pytest.mark.parametrize(
    "password",
    [
        "zebra violin 42",
        "ZEBRAVIOLINQUILT",
        "zebraviolinquilt",
        "7391 8264 0157 3948 2",
        "Ünïcödé übermäßig größe",
        "五十音順に並べた合言葉は長い方がよい",
        "a test of my violin and the zebra",  # contains "test", and much else
    ],
)
def test_good_ones_pass_without_any_rule_of_composition(password):
    assert faults(password) == []


@pytest.mark.asvs("6.2.1")
def test_length_is_counted_in_characters_after_normalisation():
    assert SHORTEST == 15
    assert "at least 15" in faults("zebra violin 4")[0]
    assert faults("zebra violin 42") == []
    assert "at least 15" in faults("zebra violin\u0301 4")[0]
    assert faults("🦉🌵🎻🧭🪂🧊🥁🪁🛶🧶🪗🥨🧲🪕🧵") == []


@pytest.mark.asvs("6.2.9")
def test_at_least_64_characters_are_allowed_and_256_are_the_limit():
    sentence = "the zebra plays violin in a quilt of drums and rain "
    assert faults((sentence * 5)[:64]) == []
    assert faults((sentence * 5)[:LONGEST]) == []
    assert "at most 256" in faults((sentence * 5)[: LONGEST + 1])[0]


@pytest.mark.asvs("6.2.4")
@pytest.mark.parametrize(
    "password", ["1234567890123456", "qwertyuiopasdfgh", "QwertyUIOPasdfGH", "\uff11" + "234567890123456"]
)
def test_a_common_password_is_refused_in_any_case_and_width(password):
    assert faults(password) == ["is one of the commonest passwords"]


@pytest.mark.asvs("6.2.4")
def test_the_three_thousand_commonest_passwords_of_this_length_are_refused():
    """ASVS 5.0 6.2.4. Whatever else speaks against them, this is what the list is for."""
    text = resources.files("auth_common.security").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    commonest = [password for password in text.splitlines() if len(password) >= SHORTEST][:3_000]
    assert len(commonest) == 3_000
    assert [password for password in commonest if faults(password) != ["is one of the commonest passwords"]] == []


@pytest.mark.asvs("1.2.9")
@pytest.mark.parametrize(
    "password",
    [
        "Test-Person-Test-Person",
        "testperson1234567890",
        "test.person@example.com",
        "EngineerTestPerson!!",
        "2024-engineer-2025-test",
        "\uff34est \uff30erson Test",
    ],
)
def test_one_made_of_the_persons_own_data_is_refused(password):
    assert faults(password) == [MADE_OF_KNOWN_WORDS]


def test_context_is_what_makes_it_bad():
    other = ("Another One", "someone@example.org", "Pilot")
    assert faults("quilt.zebras@example", other) == []
    owner = ("Quilt Zebras", "quilt.zebras@example.com", "Pilot")
    assert faults("quilt.zebras@example", owner) == [MADE_OF_KNOWN_WORDS]


def test_a_short_name_inside_a_word_does_no_harm():
    assert faults("a banner of violins over rain", ("Ann Li", "ann@example.com", "QA")) == []


def test_a_person_without_any_letters_worth_a_word_can_have_a_password():
    assert faults("zebra violin 42", ("李", "1@2.example", "我")) == []


@pytest.mark.asvs("6.1.2", "6.2.11")
@pytest.mark.parametrize(
    "password", ["secure backend password", "Secure-Backend-2026!", "my passphrase 123456", "backend.secure.backend"]
)
def test_one_made_of_the_services_own_name_is_refused(password):
    """ASVS 5.0 6.2.11: context-specific words."""
    assert faults(password) == [MADE_OF_KNOWN_WORDS]


@pytest.mark.parametrize(
    "password", ["aaaaaaaaaaaaaaaaaa", "abcdefghijklmnopqrst", "abcabcabcabcabcabc", "qazwsxqazwsxqazwsx"]
)
def test_one_that_is_easy_to_guess_is_refused(password):
    assert faults(password) == ["is too easy to guess; use several unrelated words"]
