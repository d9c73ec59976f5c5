"""Formats other than HTML: badges, feeds, iCalendar, Statuspage documents, the preview image."""
