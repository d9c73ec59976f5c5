"""What is not a page: badges, feeds, calendars, the summary of Statuspage, the preview image."""
