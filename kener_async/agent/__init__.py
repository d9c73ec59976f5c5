"""What runs on a device: it checks what is there, keeps what it measured, and sends it when it can."""
