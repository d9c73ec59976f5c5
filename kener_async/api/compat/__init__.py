"""Senders made for other services: push keys, Healthchecks, Uptime Kuma, Gatus."""
