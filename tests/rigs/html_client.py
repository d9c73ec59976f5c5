"""A browser without JavaScript.

It follows redirects, keeps cookies, and fills in and submits the forms it finds.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urldefrag, urlencode, urljoin, urlsplit

from aiohttp import ClientSession, DummyCookieJar, FormData
from multidict import CIMultiDictProxy

from tests.rigs.markup import Element, parsed

MAX_REDIRECTS = 10
Fields = list[tuple[str, str]]
UNSENT = ("reset", "button", "image", "file")


class HtmlClient:
    """A browser of one person at one site.

    `origin` is such as "http://127.0.0.1:8000", `cookies` what it keeps, by name. `headers` are sent with
    each request, such as X-Forwarded-For. A GET says that the user typed the address, a POST that a page of
    the site was submitted.
    """

    def __init__(self, session: ClientSession, origin: str, headers: Mapping[str, str] | None = None) -> None:
        self.session = session
        self.origin = origin
        self.headers = dict(headers or {})
        self.cookies: dict[str, str] = {}

    async def open(self, path: str, status: int | None = 200) -> "Screen":
        """The page at this address, redirects followed; with this status, or with any if that is None."""
        return await self.request("GET", path, {"Sec-Fetch-Site": "none"}, status=status)

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        *,
        status: int | None = None,
        is_followed: bool = True,
    ) -> "Screen":
        """The answer to a request as it is given, with the cookies of this browser."""
        url = urljoin(self.origin, path)
        sent = self.headers | dict(headers or {})
        screens: list[Screen] = []
        for _ in range(MAX_REDIRECTS):
            screens.append(await self._once(method, url, sent, data))
            location = screens[-1].headers.get("Location")
            if location is None or not is_followed:
                break
            url = urljoin(url, location)
            if not url.startswith(f"{self.origin}/"):
                break  # such as the page of an OpenID Connect provider
            if screens[-1].status in (301, 302, 303) and method != "HEAD":
                method, data = "GET", None
        else:
            raise AssertionError(f"redirected {MAX_REDIRECTS} times, at last to {url}")
        screen = screens[-1]
        screen.passed = screens[:-1]
        assert status in (None, screen.status), f"{method} {url}: {screen.status}\n{screen.said}"
        return screen

    async def _once(self, method: str, url: str, headers: Mapping[str, str], data: Any) -> "Screen":
        sent = dict(headers)
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        asked = urldefrag(url).url
        async with self.session.request(
            method, asked, headers=sent, data=data, allow_redirects=False
        ) as reply:
            body = (await reply.read()).decode("utf-8", "replace")
            for line in reply.headers.getall("Set-Cookie", ()):
                self._keep(line)
            return Screen(self, method, url.removeprefix(self.origin), reply.status, reply.headers, body)

    def _keep(self, line: str) -> None:
        for name, cookie in SimpleCookie(line).items():
            if cookie["max-age"] == "0" or cookie["expires"].startswith("Thu, 01 Jan 1970"):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = cookie.value


@dataclass
class Screen:
    """A page as the browser shows it. `passed` are the redirects on the way to it."""

    client: HtmlClient
    method: str
    path: str
    status: int
    headers: CIMultiDictProxy[str]
    body: str
    passed: list["Screen"] = field(default_factory=list)

    @cached_property
    def document(self) -> Element:
        return parsed(self.body)

    @property
    def said(self) -> str:
        """The text of its main part, or of all of it, on one line."""
        if "html" not in self.headers.get("Content-Type", ""):
            return self.body
        parts = self.document.all("main") or self.document.all("body") or [self.document]
        return " ".join(part.text for part in parts)

    @property
    def forms(self) -> list["Form"]:
        return [Form(self, element) for element in self.document.all("form")]

    def form(self, button: str | None = None, *, action: str | None = None) -> "Form":
        """The only form with a button of this text, or with an action that ends like this."""
        found = [
            form
            for form in self.forms
            if (button is None or any(each.label == button for each in form.buttons))
            and (action is None or urlsplit(form.action).path.endswith(action))
        ]
        assert len(found) == 1, f"{len(found)} forms {button or action!r} at {self.path}: {self.said}"
        return found[0]

    async def press(self, button: str, status: int | None = 200, **values: Any) -> "Screen":
        """Fill in the form that has this button, and press it."""
        form = self.form(button)
        form.fill(**values)
        return await form.submit(button, status=status)

    async def follow(self, text: str, status: int | None = 200) -> "Screen":
        """The page that the first link with this text leads to."""
        links = [link for link in self.document.all("a") if link.text == text and "href" in link.attributes]
        assert links, f"no link {text!r} at {self.path}: {self.said}"
        return await self.client.open(urljoin(self.path, links[0].attributes["href"]), status)

    @property
    def links(self) -> list[str]:
        """Where its links within the site lead, absolute and without fragments, in their order."""
        base = self.client.origin + self.path
        found = (urldefrag(urljoin(base, link.attributes["href"])).url for link in self.document.all("a")
                 if "href" in link.attributes)  # fmt: skip
        own = (link.removeprefix(self.client.origin) for link in found if link.startswith(self.client.origin))
        return list(dict.fromkeys(own))


@dataclass(frozen=True)
class Button:
    """A button that submits; what it adds to the form, and the address it submits it to if another."""

    label: str
    added: Fields
    action: str | None


class Form:
    """A form of a page, and what it would send now: `fields` in the order of the document."""

    def __init__(self, screen: Screen, element: Element) -> None:
        self.screen = screen
        self.element = element
        attributes = element.attributes
        self.method = attributes.get("method", "get").upper()
        self.action = urljoin(screen.path, attributes.get("action", "") or screen.path)
        self.is_multipart = attributes.get("enctype") == "multipart/form-data"
        self._controls = list(self._own_controls())
        self.fields: Fields = [pair for control in self._controls for pair in _sent(control)]

    @property
    def names(self) -> set[str]:
        """The names of all its controls, also of those that send nothing now."""
        return {control.attributes["name"] for control in self._controls if "name" in control.attributes}

    @property
    def buttons(self) -> list[Button]:
        return [
            Button(
                control.text
                or control.attributes.get("value", "")
                or control.attributes.get("aria-label", ""),
                _pairs(control, control.attributes.get("value", "")),
                control.attributes.get("formaction"),
            )
            for control in self._controls
            if _is_submit(control) and "disabled" not in control.attributes
        ]

    def choices(self, name: str) -> list[str]:
        """The values that may be chosen of a list, of radio buttons or of boxes of this name."""
        found: list[str] = []
        for control in self._named(name):
            if control.tag == "select":
                found += [_value_of(option) for option in control.all("option")]
            elif control.attributes.get("type") in ("radio", "checkbox"):
                found.append(control.attributes.get("value", "on"))
        return found

    def value(self, name: str) -> str:
        """The only value that would be sent under this name."""
        (value,) = [sent for each, sent in self.fields if each == name]
        return value

    def fill(self, **values: Any) -> "Form":
        """Put other values in: a text, True or False for a single box, or a list of what is to be chosen.

        A field that is not there, or a choice that is not offered, fails the test.
        """
        for name, value in values.items():
            assert name in self.names, f"no field {name!r} among {sorted(self.names)}"
            chosen = self._chosen(name, value)
            offered = self.choices(name)
            assert not offered or set(chosen) <= set(offered), f"{name}: {chosen} not among {offered}"
            places = [place for place, (each, _) in enumerate(self.fields) if each == name]
            place = places[0] if places else len(self.fields)
            self.fields = [pair for pair in self.fields if pair[0] != name]
            self.fields[place:place] = [(name, each) for each in chosen]
        return self

    def _chosen(self, name: str, value: Any) -> list[str]:
        match value:
            case True:
                return self.choices(name)[:1]
            case False | None:
                return []
            case list() | tuple():
                return [*map(str, value)]
        return [str(value)]

    def sent(self, button: str | None = None) -> tuple[str, Fields]:
        """The address and the fields when a button is pressed; the first one when none is named."""
        pressed = self.buttons
        if button is not None:
            pressed = [each for each in pressed if each.label == button]
            assert pressed, f"no button {button!r} among {[each.label for each in self.buttons]}"
        if not pressed:
            return self.action, self.fields
        first = pressed[0]
        action = self.action if first.action is None else urljoin(self.screen.path, first.action)
        return action, self.fields + first.added

    async def submit(
        self,
        button: str | None = None,
        *,
        status: int | None = 200,
        headers: Mapping[str, str] | None = None,
        is_followed: bool = True,
        change: Callable[[Fields], Fields] = list,
    ) -> Screen:
        """Send it as a browser does. `headers` replace its own, `change` makes other fields of its own."""
        client = self.screen.client
        action, fields = self.sent(button)
        fields = change(fields)
        if self.method == "GET":
            return await client.open(f"{action.partition('?')[0]}?{urlencode(fields)}", status)
        own = {"Origin": client.origin, "Sec-Fetch-Site": "same-origin", "Referer": client.origin + "/"}
        data: Any = urlencode(fields).encode()
        if self.is_multipart:
            data = FormData(fields, default_to_multipart=True)
        else:
            own["Content-Type"] = "application/x-www-form-urlencoded"
        return await client.request(
            "POST", action, own | dict(headers or {}), data, status=status, is_followed=is_followed
        )

    def _own_controls(self) -> Iterator[Element]:
        """What is inside of it, and what names it from elsewhere, but not what belongs to another form."""
        own_id = self.element.attributes.get("id")
        inside = {id(each) for each in self.element.all()}
        for control in self.screen.document.all():
            if control.tag not in ("input", "select", "textarea", "button"):
                continue
            owner = control.attributes.get("form")
            if owner == own_id if owner is not None else id(control) in inside:
                yield control

    def _named(self, name: str) -> Iterator[Element]:
        return (control for control in self._controls if control.attributes.get("name") == name)


def _sent(control: Element) -> Fields:
    """What a control sends as the page came."""
    attributes = control.attributes
    kind = attributes.get("type", "text") if control.tag == "input" else control.tag
    if "disabled" in attributes or control.tag == "button" or kind in (*UNSENT, "submit"):
        return []
    if kind in ("checkbox", "radio"):
        return _pairs(control, attributes.get("value", "on")) if "checked" in attributes else []
    if kind == "textarea":
        return _pairs(control, control.content.removeprefix("\n"))
    if kind == "select":
        options = control.all("option")
        chosen = [option for option in options if "selected" in option.attributes]
        if not chosen and "multiple" not in attributes:
            chosen = [option for option in options if "disabled" not in option.attributes][:1]
        return [pair for option in chosen for pair in _pairs(control, _value_of(option))]
    return _pairs(control, attributes.get("value", ""))


def _is_submit(control: Element) -> bool:
    kind = control.attributes.get("type", "submit" if control.tag == "button" else "text")
    return control.tag in ("button", "input") and kind == "submit"


def _pairs(control: Element, value: str) -> Fields:
    name = control.attributes.get("name")
    return [(name, value)] if name else []


def _value_of(option: Element) -> str:
    return option.attributes.get("value", option.text)


def session_of_client() -> ClientSession:
    """A session that keeps no cookies, for clients that keep their own."""
    return ClientSession(cookie_jar=DummyCookieJar())
