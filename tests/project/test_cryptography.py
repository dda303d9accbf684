"""The deployed code uses only strong cryptography, and the inventory lists each module that uses cryptography."""

import ast
import re
import sys

import pytest

from tests.support.runtime import PROJECT, run_command
from tests.support.source_code import DEPLOYED, deployed_nodes, libraries, project_path

pytestmark = pytest.mark.project

#: A module that imports one of these packages encrypts, signs, hashes or generates random values.
CRYPTOGRAPHY = {"bcrypt", "cryptography", "hashlib", "hmac", "jwt", "secrets", "ssl", "webauthn"}


def uses_of(words):
    """Return the places in the deployed code that name one of these words, in upper or lower case."""

    def name(node):
        return getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None) or ""

    return [place for place, node in deployed_nodes() if name(node).rpartition(".")[2].lower() in words]


@pytest.mark.asvs("11.1.3", "11.2.1")
def test_modules_that_use_cryptography_are_in_the_inventory():
    inventory = (PROJECT / "docs/security-inventories.md").read_text()
    users = [project_path(path) for path in DEPLOYED if libraries(path) & CRYPTOGRAPHY]
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
def test_deployed_code_names_no_weak_hash_or_cipher(weak, strong):
    """The hash functions are SHA-256 or stronger, and the only cipher mode is AES-GCM."""
    assert uses_of(weak.split()) == []
    assert uses_of([strong])


@pytest.mark.asvs("11.5.1")
def test_random_module_is_not_used_for_secrets():
    """ASVS 11.5.1: secrets come from ``secrets``. Only retries.py uses ``random``, for pauses between retries."""
    assert [project_path(path) for path in DEPLOYED if "random" in libraries(path) and path.name != "retries.py"] == []


@pytest.mark.asvs("11.2.4")
def test_secrets_are_compared_in_constant_time():
    """ASVS 11.2.4: libraries and ``hmac.compare_digest`` compare secrets, never ``==``.

    The comment "No secret: REASON" marks a comparison whose timing does not help an attacker. Comparisons of columns
    are ignored, because the database makes them.
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


#: A script that prints tokens from four copies of a process that has already generated one.
PRINT_TOKENS_OF_FORKS = """
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
def test_forked_processes_generate_different_tokens():
    """ASVS 11.5.2: copies of a generator's state, by a fork or a snapshot, would generate the same values."""
    tokens = run_command(sys.executable, "-c", PRINT_TOKENS_OF_FORKS).stdout.split()
    assert len(tokens) == len(set(tokens)) == 8_000
