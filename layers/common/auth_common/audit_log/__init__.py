"""Writing the audit log: rows, chains and encrypted personal fields."""
