"""config.toml: its fields and tables, its rules, and the dataclasses that the rest of the program sees."""
