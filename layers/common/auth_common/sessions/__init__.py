"""Sessions, their refresh tokens, and the checks of a caller."""
