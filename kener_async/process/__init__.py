"""The process: event loop, sockets, signals, reloads, systemd."""
