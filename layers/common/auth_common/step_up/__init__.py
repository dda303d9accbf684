"""Step-up: a logged-in user proves their identity again."""
