"""Passkeys (WebAuthn): registration, login, management, challenges and verification."""
