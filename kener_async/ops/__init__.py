"""What an operator does beside the service: installs it, looks after its key, asks how it is."""
