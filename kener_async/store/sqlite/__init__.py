"""The SQLite engine: its file, its connections, its schema and the steps between schemas."""
