"""The demo: the whole service on a throw-away database, with 90 days of made-up history and live devices.

The history goes through the rules that hold for real ones: samples, incidents and settings are stored as of
their time, and the service counts them. What happens stands in `history/`, what is served in `site/`.
"""

SCENES = ("busy", "calm", "outage", "maintenance", "empty")
