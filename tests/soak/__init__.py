"""Long runs that break the server on purpose and count what was lost; each is a command of its own."""
