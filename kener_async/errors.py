"""What keeps the program from running."""

import errno


class FatalError(Exception):
    """Its text says what is wrong, one line for each thing; the program ends with status 1."""


def reason_of(error: OSError) -> str:
    """Why the system refused, and what to do about it: the end of a line for the operator."""
    remedy = _REMEDIES.get(error.errno or 0)
    text = error.strerror or str(error) or type(error).__name__
    return text if remedy is None else f"{text}: {remedy}"


OWNER = "run this with sudo, or as the user that owns it"
WRITABLE_DISK = "use a folder on a disk that can be written"
FREE_SPACE = "free some space, then run this again"

_REMEDIES = {
    errno.EACCES: OWNER,
    errno.EPERM: OWNER,
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EROFS: WRITABLE_DISK,
}
