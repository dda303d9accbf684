"""Command-line tools for operators: ``uv run accounts``, ``uv run keys``."""
