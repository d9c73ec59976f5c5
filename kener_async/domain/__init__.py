"""The rules: what a minute's status is, what an uptime is, how an incident lives. No I/O, no clock."""
