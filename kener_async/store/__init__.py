"""The only SQL. Functions over one connection, run in a transaction by `database.Database`."""
