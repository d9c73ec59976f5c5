"""Errors of the domain. `api/http/errors.py` maps each class to an HTTP status."""


class DomainError(Exception):
    """An error whose message may be shown to the caller."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(DomainError):
    """The request is invalid; the message names the field."""


class Unauthenticated(DomainError):
    """The token is missing or not valid."""


class Forbidden(DomainError):
    """The token is valid and lacks the permission."""


class NotFound(DomainError):
    """The requested thing does not exist."""


class Conflict(DomainError):
    """The thing was changed by another since the caller read it; nothing was stored."""


class TooLarge(DomainError):
    """The body is too large."""


class TooSlow(DomainError):
    """The body did not arrive in time."""


class Unsupported(DomainError):
    """The encoding of the body is not supported."""


class TooMany(DomainError):
    """The sender is over its rate limit and may retry after `seconds`."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class Unavailable(DomainError):
    """The server is temporarily unable; nothing was stored, and the sender should retry."""
