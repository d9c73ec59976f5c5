"""The rules: status of a minute, uptime, stages of incidents, deadlines. No I/O, clock, SQL or HTTP."""
