"""Channels: the ways to tell somebody, one file a kind; each renders the same message."""
