"""Long tests that break the service on purpose and count what was lost; each is a command."""
