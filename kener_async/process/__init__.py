"""One process of the service: the event loop, its sockets and signals, systemd."""
