"""The agent, which runs on a device: make checks, spool their samples, upload them to a server."""
