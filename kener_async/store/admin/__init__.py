"""What is done to a database as a whole: backup, restore, verification, export, import."""
