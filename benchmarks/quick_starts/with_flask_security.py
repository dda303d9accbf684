# /// script
# requires-python = ">=3.11"
# dependencies = ["bcrypt", "flask-security-too==5.9.2", "flask-sqlalchemy", "gunicorn"]
# ///
"""Flask-Security-Too as in its quick start for Flask-SQLAlchemy, but with tokens and with bcrypt at the common cost."""

from pathlib import Path

from flask import Flask
from flask_security import Security, SQLAlchemyUserDatastore, auth_required, current_user, hash_password
from flask_security.models import fsqla_v3 as fsqla
from flask_security.utils import verify_password
from flask_sqlalchemy import SQLAlchemy
from peer_process import BCRYPT_COST, EMAIL, OK, PASSWORD, run_command
from wsgi_calls import call_wsgi, serve_wsgi

app = Flask(__name__, instance_path=str(Path.cwd()))
app.config["SECRET_KEY"] = "a secret of thirty-two bytes and more"
app.config["SECURITY_PASSWORD_SALT"] = "146585145368132386173505678016728509634"
app.config["SECURITY_PASSWORD_HASH"] = "bcrypt"
app.config["SECURITY_PASSWORD_HASH_PASSLIB_OPTIONS"] = {"bcrypt__rounds": BCRYPT_COST}
app.config["SESSION_COOKIE_SAMESITE"] = "strict"
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///test.db"
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_pre_ping": True}
app.config["WTF_CSRF_ENABLED"] = False  # a client with a token needs no CSRF token

db = SQLAlchemy(app)
fsqla.FsModels.set_db_info(db)


class Role(db.Model, fsqla.FsRoleMixin):  # type: ignore[name-defined,misc]
    """The table of roles."""


class User(db.Model, fsqla.FsUserMixin):  # type: ignore[name-defined,misc]
    """The table of users."""


user_datastore = SQLAlchemyUserDatastore(db, User, Role)
security = Security(app, user_datastore)


@app.route("/me")
@auth_required("token")
def me() -> dict[str, str]:
    """Return the caller's own data."""
    return {"email": current_user.email}


class Service:
    """The application, called in this process."""

    def __init__(self) -> None:
        """Hash the password for ``check_hash``."""
        with app.app_context():
            self._stored = hash_password(PASSWORD)

    def set_up(self) -> str:
        """Create the tables and a user, and log in."""
        with app.app_context():
            db.create_all()
            user_datastore.create_user(email=EMAIL, password=hash_password(PASSWORD))
            db.session.commit()
        return self.log_in()

    def route(self, token: str) -> tuple[str, dict[str, str]]:
        """Return the path and the headers of the request for the caller's own data."""
        return "/me", {"Authentication-Token": token}

    def me(self, token: str) -> None:
        """Request the caller's own data."""
        path, headers = self.route(token)
        status, user = call_wsgi(app, "GET", path, headers=headers)
        assert (status, user["email"]) == (OK, EMAIL)

    def log_in(self) -> str:
        """Log in with JSON."""
        body = {"email": EMAIL, "password": PASSWORD}
        status, answer = call_wsgi(app, "POST", "/login?include_auth_token", body=body)
        assert status == OK, answer
        token: str = answer["response"]["user"]["authentication_token"]
        return token

    def check_hash(self) -> None:
        """Check the password against its hash."""
        with app.app_context():
            assert verify_password(PASSWORD, self._stored)

    def serve(self, port: int) -> None:
        """Serve with gunicorn."""
        serve_wsgi("with_flask_security", port)


if __name__ == "__main__":
    run_command(Service())
