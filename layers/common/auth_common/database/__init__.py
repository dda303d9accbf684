"""Engine, retries, tables, privileges and migrations."""
