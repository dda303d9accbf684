"""Cryptography: what there is of it is in the inventory, nothing weak is in it, and chance comes from the system."""

import ast
import re
import subprocess
import sys

import pytest

from tests.test_structure import PROJECT, libraries, modules, name_of, tree

pytestmark = pytest.mark.project

#: Whoever imports one of these encrypts, signs, hashes or draws lots.
CRYPTOGRAPHY = {"bcrypt", "cryptography", "hashlib", "hmac", "jwt", "secrets", "ssl", "webauthn"}
DEPLOYED = modules("functions", "layers")


def identifiers(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


def users_of(words):
    used = {name_of(path): words & {word.lower() for word in identifiers(path)} for path in DEPLOYED}
    return {path: found for path, found in used.items() if found}


@pytest.mark.asvs("11.1.3", "11.2.1")
def test_each_module_that_uses_cryptography_is_in_the_inventory():
    """ASVS 11.1.3: what the inventory does not know is found here, and so is what has gone."""
    inventory = (PROJECT / "docs/security-inventories.md").read_text().partition("### Where it is in the code\n")[2]
    listed = set(re.findall(r"\]\(\.\./([\w/]+\.py)\)", inventory.partition("\n## ")[0]))
    assert listed == {name_of(path) for path in DEPLOYED if libraries(path) & CRYPTOGRAPHY}


@pytest.mark.asvs("11.4.1", "11.4.3")
def test_no_hash_function_is_broken():
    """ASVS 11.4.1, 11.4.3: nothing below SHA-256."""
    assert users_of({"md4", "md5", "sha1", "sha224", "ripemd160"}) == {}


@pytest.mark.asvs("11.3.1", "11.3.2")
def test_no_cipher_is_without_authentication():
    """ASVS 11.3.1, 11.3.2: AES-GCM, and neither a block mode nor a padding of one's own choosing."""
    weak = {"ecb", "cbc", "cfb", "ofb", "ctr", "des", "tripledes", "arc4", "blowfish", "pkcs1v15", "pkcs7", "cipher"}
    assert users_of(weak) == {}
    assert users_of({"aesgcm"}).keys() == {
        "layers/common/auth_common/security/audit_protection.py",
        "layers/common/auth_common/security/refresh_tokens.py",
    }


@pytest.mark.asvs("11.5.1")
def test_nothing_that_must_not_be_guessed_comes_from_the_random_module():
    """ASVS 11.5.1: `secrets` asks the operating system. Only the pauses between two tries are otherwise random."""
    assert [name_of(path) for path in DEPLOYED if "random" in libraries(path)] == [
        "layers/common/auth_common/db/engine.py"
    ]


@pytest.mark.asvs("11.2.4")
@pytest.mark.parametrize("operator", [ast.Eq, ast.NotEq])
def test_no_secret_is_compared_character_by_character(operator):
    """ASVS 11.2.4: libraries and `hmac.compare_digest` compare. Two MACs that are both on record
    are no secrets, and two passwords of one body none to who has sent them.
    """
    secret = re.compile(r"(?:mac|digest|hash|hashpw|signature|token|password|pepper|secret|challenge)$")

    def last_name(node):
        called = node.func if isinstance(node, ast.Call) else node
        is_column = re.match(r"\w+\.c\.", ast.unparse(called))  # compared by the database, to find a row by its index
        return "" if is_column else getattr(called, "attr", getattr(called, "id", ""))

    compared = {
        f"{name_of(path)}: {ast.unparse(node)}"
        for path in DEPLOYED
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], operator)
        if any(secret.search(last_name(side)) for side in (node.left, *node.comparators))
    }
    of_one_body = (
        "layers/common/auth_common/services/password_change.py: "
        "normalise_password(new_password) == normalise_password(current_password)"
    )
    on_record = (
        "layers/common/auth_common/services/audit_verification.py: "
        "vouched.setdefault(anchor.chain_id, {}).setdefault(anchor.sequence, anchor.mac) != anchor.mac"
    )
    assert compared == {on_record if operator is ast.NotEq else of_one_body}


FORKING = """
import os, sys
from auth_common.security.refresh_tokens import new_refresh_token
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
    run = subprocess.run([sys.executable, "-c", FORKING], cwd=PROJECT, capture_output=True, text=True, check=True)
    drawn = run.stdout.split()
    assert len(drawn) == len(set(drawn)) == 8_000
