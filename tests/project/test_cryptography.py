"""The deployed code uses strong cryptography only, and the inventory lists each module that uses it."""

import ast
import re
import sys

import pytest

from tests.support.runtime import PROJECT, run
from tests.support.source_code import DEPLOYED, deployed_nodes, libraries, name_of

pytestmark = pytest.mark.project

#: A module that imports one of these encrypts, signs, hashes or draws random values.
CRYPTOGRAPHY = {"bcrypt", "cryptography", "hashlib", "hmac", "jwt", "secrets", "ssl", "webauthn"}


def uses_of(words):
    """Return the places where the deployed code names one of these words, in any case."""

    def name(node):
        return getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None) or ""

    return [place for place, node in deployed_nodes() if name(node).rpartition(".")[2].lower() in words]


@pytest.mark.asvs("11.1.3", "11.2.1")
def test_each_module_that_uses_cryptography_is_in_the_inventory():
    inventory = (PROJECT / "docs/security-inventories.md").read_text()
    users = [name_of(path) for path in DEPLOYED if libraries(path) & CRYPTOGRAPHY]
    assert users
    assert [user for user in users if f"(../{user})" not in inventory] == []


@pytest.mark.asvs("11.3.1", "11.3.2", "11.4.1", "11.4.3")
@pytest.mark.parametrize(
    ("weak", "strong"),
    [
        ("md4 md5 sha1 sha224 ripemd160", "sha256"),
        ("ecb cbc cfb ofb ctr des tripledes arc4 blowfish pkcs1v15 pkcs7 cipher", "aesgcm"),
    ],
    ids=["hash functions", "ciphers"],
)
def test_no_hash_function_or_cipher_is_weak(weak, strong):
    """Nothing below SHA-256, AES-GCM only, and no block mode or padding of the project's own choice."""
    assert uses_of(weak.split()) == []
    assert uses_of([strong])


@pytest.mark.asvs("11.5.1")
def test_nothing_secret_comes_from_the_random_module():
    """ASVS 11.5.1: ``secrets`` asks the operating system. The database draws pauses between two tries only."""
    assert [name_of(path) for path in DEPLOYED if "random" in libraries(path) and path.name != "transactions.py"] == []


@pytest.mark.asvs("11.2.4")
def test_no_secret_is_compared_character_by_character():
    """ASVS 11.2.4: libraries and ``hmac.compare_digest`` compare.

    The comment "No secret: REASON" marks a comparison that an attacker cannot use. The database compares columns.
    """
    secret = re.compile(r"(?:mac|digest|hash|hashpw|signature|token|password|pepper|secret|challenge)$")

    def is_secret(node):
        called = node.func if isinstance(node, ast.Call) else node
        name = getattr(called, "attr", getattr(called, "id", ""))
        return secret.search(name) and not re.match(r"\w+\.c\.", ast.unparse(called))

    def is_marked(place):
        path, _, number = place.rpartition(":")
        return "# No secret: " in (PROJECT / path).read_text().splitlines()[int(number) - 2]

    compared = [
        place
        for place, node in deployed_nodes()
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq)
        if any(map(is_secret, (node.left, *node.comparators)))
    ]
    assert compared
    assert [place for place in compared if not is_marked(place)] == []


FORKING = """
import os, sys
from auth_common.sessions.refresh_tokens import new_refresh_token
new_refresh_token()
for _ in range(4):
    if not (child := os.fork()):
        sys.stdout.write("".join(f"{new_refresh_token()}\\n" for _ in range(2000)))
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.asvs("11.5.2")
def test_processes_that_start_as_copies_draw_different_tokens():
    """ASVS 11.5.2: a generator with a state of its own, copied by a fork or a snapshot, repeats itself."""
    drawn = run(sys.executable, "-c", FORKING).stdout.split()
    assert len(drawn) == len(set(drawn)) == 8_000
