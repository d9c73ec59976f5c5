"""The store: all SQL of the service, as functions that take a session and plain arguments (interface.py)."""
