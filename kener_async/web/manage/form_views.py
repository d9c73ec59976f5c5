"""Forms as templates show them: for the first time, or with what was typed before they were refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kener_async.web.manage.form_bodies import Typed

TOKEN_FIELD, KEY_FIELD = "form_token", "form_key"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A form that was refused: its path below that of all screens, what was typed, and the errors by field.

    The error of no field is that of "". `is_outdated`: what it changes was changed by another meanwhile.
    """

    path: str
    typed: Typed
    errors: Mapping[str, str]
    is_outdated: bool = False


@dataclass(frozen=True, slots=True)
class FormView:
    """A form as a template shows it: `f.form(form)` and the fields of it (templates/manage/forms.html).

    `address` is where it is posted, `key` its one-time key, `token` that of the session. `typed` is what was
    typed into it before it was refused; None: it is shown for the first time.
    """

    address: str
    token: str
    key: str
    typed: Typed | None = None
    errors: Mapping[str, str] = field(default_factory=dict)

    def value(self, name: str, default: object = "") -> str:
        """The text of a field: what was typed, else the default."""
        if self.typed is None:
            return "" if default is None else str(default)
        return self.typed.get(name, ("",))[0]

    def has(self, name: str, value: object, default: bool = False) -> bool:
        """Whether a box or an option is chosen: as it was, else as by default."""
        return default if self.typed is None else str(value) in self.typed.get(name, ())

    def error(self, name: str = "") -> str:
        """The error of a field; of "", that of the form as a whole."""
        return self.errors.get(name, "")
