"""How fast the service is, next to what cannot be cheaper and to its peers: ``make bench``.

No figure stands alone: each is a ratio to something measured beside it, in the same run on the same machine.
"""
