"""Parts of pages: bars, charts, rows of hours, the calendar, share boxes, Markdown, colours."""
