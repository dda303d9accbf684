"""WebAuthn: registration, login, challenges and verification of passkeys."""
