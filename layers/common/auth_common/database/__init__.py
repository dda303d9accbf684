"""Engine, tables, privileges and migrations."""
