"""The database: engine and ``transaction()``, tables, one store a table family, migrations."""
