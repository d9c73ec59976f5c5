"""Tests against real peers, which `make peers` installs: as root, some seconds each."""
