"""The demo: the service on a temporary database, with 90 days of generated history and simulated devices.

Samples, incidents and settings are stored as of their time, and the service counts them by the usual rules.
`history/` has the events of the scenes, `site/` the configuration and its files.
"""

SCENES = ("busy", "calm", "outage", "maintenance", "empty")
