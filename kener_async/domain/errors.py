"""What can be wrong with a request, in the words of the domain. `api/http/errors.py` turns them into HTTP."""


class DomainError(Exception):
    """A refusal whose message may be shown to the caller."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(DomainError):
    """The request says something that cannot be; the message names the field."""


class Unauthenticated(DomainError):
    """No token, or one that proves nothing."""


class Forbidden(DomainError):
    """A good token that does not allow this."""


class NotFound(DomainError):
    """The thing asked for does not exist."""


class TooLarge(DomainError):
    """The body is larger than the server takes."""


class TooSlow(DomainError):
    """The body did not arrive in time."""


class Unsupported(DomainError):
    """The body is encoded in a way this route does not read."""


class TooMany(DomainError):
    """The sender asks for more than its share; it may try again after `seconds`."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class Unavailable(DomainError):
    """The server cannot do it now; nothing was stored, and trying again later is right."""
