"""The languages of pages and messages: their catalogs, and the formats of numbers, dates and durations."""
