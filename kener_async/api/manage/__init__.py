"""/api/manage: alerts, deliveries, channels and drafts, for people and programs that run the page."""
