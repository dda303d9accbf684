"""A software authenticator for scripts and for requests.http."""
