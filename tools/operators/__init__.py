"""Commands for operators, for accounts, the audit log, signing keys and migrations."""
