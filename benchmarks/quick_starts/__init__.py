"""This service and its peers, which are other authentication libraries.

Each peer is set up as in its own quick start, on SQLite and in an environment of its own.
"""
