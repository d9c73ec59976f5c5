"""Probes: each looks at a target once, for the server and the agent alike."""
