# /// script
# requires-python = ">=3.11"
# dependencies = ["openapi-python-client==0.29.1"]
# ///
"""Generate a Python client from an OpenAPI document, then register, log in and read the user with it.

Arguments: the document, an empty folder for the client, the base URL of the service. The script prints the user as
JSON. It has its own environment (PEP 723, locked in generated_client.py.lock). tests/project/test_generated_client.py
runs it.
"""

import importlib
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from uuid import UUID

EMAIL = "generated@example.com"
PASSWORD = "violet anchor seventeen drums"


def generate(document: str, folder: Path) -> None:
    """Write the package ``generated`` into ``folder``. Fail if the generator warns about the document."""
    (folder / "config.yml").write_text("post_hooks: []\n")
    generator = Path(sys.executable).with_name("openapi-python-client")
    options = ["--path", document, "--meta", "none", "--fail-on-warning"]
    places = ["--config", str(folder / "config.yml"), "--output-path", str(folder / "generated")]
    subprocess.run([generator, "generate", *options, *places], stdout=sys.stderr, check=True)


def converse(base_url: str) -> dict[str, str]:
    """Register and log in with the generated client, and return the user that it then reads."""
    package = importlib.import_module("generated")
    models = importlib.import_module("generated.models")
    users = importlib.import_module("generated.api.users")
    api = {name: importlib.import_module(f"{users.__name__}.{name}") for name in ("register", "get_user")}
    login = importlib.import_module("generated.api.login.login")

    client = package.Client(base_url=base_url)
    registration = models.RegistrationRequest(
        name="Ada Example",
        email=EMAIL,
        date_of_birth=date(1980, 4, 14),
        job_title="Engineer",
        password=PASSWORD,
    )
    registered = api["register"].sync(client=client, body=registration)
    pair = login.sync(client=client, body=models.LoginRequest(email=EMAIL, password=PASSWORD))
    caller = package.AuthenticatedClient(base_url=base_url, token=pair.access_token)
    user = api["get_user"].sync(registered.id, client=caller)
    assert isinstance(user.id, UUID)
    assert isinstance(user.date_of_birth, date)
    return {"id": str(user.id), "email": user.email, "date_of_birth": user.date_of_birth.isoformat()}


if __name__ == "__main__":
    document, folder, base_url = sys.argv[1:]
    generate(document, Path(folder))
    sys.path.insert(0, folder)
    json.dump(converse(base_url), sys.stdout)
