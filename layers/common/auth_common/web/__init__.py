"""HTTP: the only package that knows FastAPI, status codes and headers."""
