"""The package that every function shares: one folder per feature, on top of a platform.

``web`` imports the features, and the features import the platform. import-linter checks the directions
(pyproject.toml). docs/architecture.md has the diagram, and docs/decisions/0019 has the reasons.
"""
