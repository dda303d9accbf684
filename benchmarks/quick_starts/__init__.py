"""Peers, each as its own quick start has it, on SQLite and in an environment of its own; and ours beside them."""
