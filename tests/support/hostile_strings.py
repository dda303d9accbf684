"""Strings that have caused bugs in other software, grouped by kind of attack."""

import json
import unicodedata
from functools import cache
from typing import Final

HOSTILE: Final[dict[str, tuple[str, ...]]] = {
    # CVE-2021-42574 ("Trojan Source"): the displayed text differs from the stored text.
    "bidirectional": (
        "invoice\u202efdp.exe",
        "\u2066admin\u2069 user",
        "\u202dlevel\u202c",
        "\u200f\u200fabc",
        "مرحبا بالعالم",
    ),
    # Unicode TR 39: letters of one script that look like letters of another script.
    "homographs": (
        "\u0430dmin person",
        "\u0391lice Smith",
        "paypaI account",
        "\uff41\uff44\uff4d\uff49\uff4e \uff55\uff53\uff45\uff52",
        "ad\u0131s\u0131 \u0130",
        "\U0001d41a\U0001d41d\U0001d426\U0001d422\U0001d427 \U0001d41a\U0001d41d\U0001d426\U0001d422\U0001d427",
    ),
    "invisible": (
        "ad\u200bmin name",
        "\u2060\ufeffJane Doe",
        "soft\u00adhyphen",
        "\u3164\u3164\u3164",
        "Jane\U000e0041\U000e0042",
        "\u034f\u180e x",
    ),
    # Two encodings of one text: NFC and NFD, the Kelvin and Ångström signs, a ligature that NFKC decomposes.
    "two encodings": (
        "Ame\u0301lie Z",
        "Am\u00e9lie Z",
        "\u212bngstr\u00f6m",
        "\u212aelvin x",
        "o\ufb03ce \ufdfa",
        "\u1e9b\u0323 name",
    ),
    "not text": ("\ud800 alone", "x\udfff alone", "\ufffe\uffff chars", "\U0010ffff last", "\ue000 private"),
    "control": (
        "Jane\x00Doe",
        "\x00" * 9,
        "a\x08\x08\x08bcd",
        "\x7f\x80\x9b1mred",
        "tab\there ok",
        "line\u2028sep\u2029par",
    ),
    "long": ("a" * 300, "\u00e9" * 5_000, "W\u0338" * 3_000, "(" * 20_000, "9" * 5_000),
    "combining": ("Z" + "\u0300\u0301\u0302\u0303" * 60 + "algo", "\u0e49" * 40 + "x", "a\u0489\u0488 a\u20dd"),
    "emoji": ("👩‍👩‍👧‍👦 Jane", "🏴‍☠️🇩🇪🇩 flag", "👍🏽👍🏿 ok ok", "❤️\u200d🔥 Jane"),
    "SQL": (
        "' OR '1'='1' --",
        "Robert'); DROP TABLE users;--",
        "1; SELECT pg_sleep(9)",
        '" OR ""="',
        "%' AND 1=1 /*",
        "\\'; --x",
    ),
    "code": (
        "${jndi:ldap://127.0.0.1/a}",
        "{{7*7}}${7*7}<%= 7*7 %>#{7*7}",
        "%s%s%s%n%x%d %(name)s {0.__class__}",
        "$(reboot) `reboot` | id",
        "__import__('os').system('id')",
        "() { :;}; echo vulnerable",
    ),
    "markup": (
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "javascript:alert(1)//",
        '<!--#exec cmd="id"-->',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        "]]></x>",
    ),
    # CWE-117: a second line that looks like a log line of the service.
    "log forging": (
        'Jane\r\n{"level":"INFO","message":"authn_login_success"}',
        "Jane\nSTART RequestId: 0 Version: $LATEST",
        "Jane\r\nSet-Cookie: a=b\r\n\r\n<html>",
        "\u0085next \u2028line",
    ),
    "terminal": ("\x1b[2J\x1b[1;1H", "\x1b]0;title\x07 name", "\x1b[31mred\x1b[0m", "\x9b31m c1 csi", "\rover write"),
    # CWE-1236: spreadsheet programs execute cells like these.
    "spreadsheet": ('=HYPERLINK("http://127.0.0.1")', "+cmd|' /C calc'!A0", "-2+3+cmd", "@SUM(1+1)*x", "\t=1+1 tab"),
    "paths": (
        "../../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "..\\..\\windows\\win.ini",
        "/dev/null; x",
        "file:///etc/passwd",
        "CON\\NUL.txt",
    ),
    "names of programming languages": (
        "__proto__",
        "constructor",
        "toString()",
        "undefined;",
        "[object Object]",
        "nullnull",
        "NaN-NaN",
        "Infinity",
    ),
    "numbers": (
        "0x7fffffff",
        "-1e400-1",
        "1e309000",
        "9223372036854775808",
        "0000-0000-0000",
        "-0.0-0.0",
        "\u0661\u0662\u0663\u0664\u0665\u0666\u0667",
    ),
    "byte order marks and spaces": ("\ufeffJane Doe", "\ufffe name", "\xef\xbb\xbfJane", "\xa0\u2003 Jane \u3000"),
    "empty": ("", " ", "\u200b", "\t\r\n"),
}

STRINGS: Final = tuple(text for group in HOSTILE.values() for text in group)


@cache
def spellings(text: str) -> set[str]:
    """Return the forms of ``text`` in a response: unchanged, trimmed, normalised (NFC, NFKC) or JSON-escaped."""
    forms = {text, text.strip(), unicodedata.normalize("NFC", text), unicodedata.normalize("NFKC", text)}
    return forms | {json.dumps(form)[1:-1] for form in forms}
