"""Reading, summarising and verifying the audit log."""
