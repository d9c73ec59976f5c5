"""The SQLite engine: files, connections, transactions, migrations."""
