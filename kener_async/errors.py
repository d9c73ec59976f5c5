"""What keeps the program from running."""


class FatalError(Exception):
    """Its text says what is wrong, one line for each thing; the program ends with status 1."""
