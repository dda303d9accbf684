"""Health, clean-up, migrations and key rotation: what runs without a user's request."""
