"""Commands for operators: accounts, the audit log, keys and migrations."""
