"""The layer that every function shares: ``web`` -> ``services`` -> ``db`` | ``security`` | ``monitoring``.

The arrows point one way only, and import-linter holds them (see pyproject.toml).
"""
