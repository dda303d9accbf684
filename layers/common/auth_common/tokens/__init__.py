"""Signed tokens: access tokens and mfa_tokens."""
