# /// script
# requires-python = ">=3.11"
# dependencies = ["bcrypt", "django==5.2.19", "djangorestframework-simplejwt==5.5.1", "gunicorn"]
# ///
"""Django with SimpleJWT. ``django_site`` contains the site."""

import os

from django.contrib.auth.hashers import check_password, make_password
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from peer_process import EMAIL, OK, PASSWORD, run_command
from wsgi_calls import call_wsgi, serve_wsgi

os.environ["DJANGO_SETTINGS_MODULE"] = "django_site.settings"
app = get_wsgi_application()


class Service:
    """The application, called in this process."""

    def __init__(self) -> None:
        """Hash the password for ``check_hash``."""
        self._stored = make_password(PASSWORD)

    def set_up(self) -> str:
        """Create the tables and a user, and log in."""
        from django.contrib.auth.models import User  # noqa: PLC0415 - needs the application

        call_command("migrate", verbosity=0)
        User.objects.create_user(username=EMAIL, email=EMAIL, password=PASSWORD)
        return self.log_in()

    def route(self, token: str) -> tuple[str, dict[str, str]]:
        """Return the path and the headers of the request for the caller's own data."""
        return "/me", {"Authorization": f"Bearer {token}"}

    def me(self, token: str) -> None:
        """Request the caller's own data."""
        path, headers = self.route(token)
        status, user = call_wsgi(app, "GET", path, headers=headers)
        assert (status, user["email"]) == (OK, EMAIL)

    def log_in(self) -> str:
        """Log in with JSON."""
        body = {"username": EMAIL, "password": PASSWORD}
        status, pair = call_wsgi(app, "POST", "/api/token/", body=body)
        assert status == OK, pair
        token: str = pair["access"]
        return token

    def check_hash(self) -> None:
        """Check the password against its hash."""
        assert check_password(PASSWORD, self._stored)

    def serve(self, port: int) -> None:
        """Serve with gunicorn."""
        serve_wsgi("with_django", port)


if __name__ == "__main__":
    run_command(Service())
