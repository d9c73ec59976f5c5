"""Translations: complete catalogs, no English left, and the choice of language."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import chain

import pytest
from aiohttp import ClientResponse
from babel.messages.catalog import Message

from kener_async import keys
from kener_async.app import apply
from kener_async.locales.locale import CATALOGS, NAMES, SOURCE, Locale, locale
from tests.rigs.service import Service
from tools import messages

TRANSLATED = [tag for tag in NAMES if tag != SOURCE]
FORMS = {"de": 2, "es": 2, "fr": 2, "hi": 2, "ja": 1, "pt-BR": 2, "vi": 1, "zh-CN": 1}
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
STYLESHEET = CATALOGS.parent / "web" / "static" / "page.css"
HOUR, DAY = 3600, 86400

each_language = pytest.mark.parametrize("tag", TRANSLATED)


def entries(tag: str) -> list[Message]:
    return list(messages.messages(messages.catalog(locale(tag))))


def ids(message: Message) -> tuple[str, ...]:
    return tuple(message.id) if message.pluralizable else (str(message.id),)


def strings(message: Message) -> tuple[str, ...]:
    return tuple(message.string or ()) if message.pluralizable else (str(message.string),)


# Catalogs


def test_every_language_but_the_source_has_a_catalog():
    assert {file.stem for file in CATALOGS.glob("*.po")} == set(TRANSLATED)


def test_texts_are_found_in_code_and_in_templates():
    texts = {text for message in messages.messages(messages.extracted()) for text in ids(message)}
    assert {"%(duration)s down", "No incidents in the last 14 days.", "%(count)s days", "Latency"} <= texts


@each_language
def test_a_catalog_holds_the_texts_of_the_pages_and_no_others(tag):
    # What differs here, `make messages` puts right.
    assert {ids(one) for one in entries(tag)} == {ids(one) for one in messages.messages(messages.extracted())}
    assert (CATALOGS / f"{tag}.po").read_bytes() == messages.written(locale(tag), messages.extracted())


@each_language
def test_every_text_is_translated_and_none_by_guess(tag):
    assert [one.id for one in entries(tag) if one.fuzzy or not all(map(str.strip, strings(one)))] == []


@each_language
def test_a_plural_has_the_forms_of_its_language(tag):
    plurals = [strings(one) for one in entries(tag) if one.pluralizable]
    assert plurals
    assert {len(forms) for forms in plurals} == {FORMS[tag]}


@each_language
def test_a_translation_has_the_placeholders_of_its_text(tag):
    for one in entries(tag):
        for string in strings(one):
            assert sorted(PLACEHOLDER.findall(string)) == sorted(PLACEHOLDER.findall(ids(one)[0])), one.id
            assert "%" not in PLACEHOLDER.sub("", string), one.id


@each_language
def test_a_translation_is_plain_text(tag):
    for string in chain.from_iterable(map(strings, entries(tag))):
        assert not re.search(r"[<>\n]|&\w*;|[!！]", string), string  # noqa: RUF001
        assert string == string.strip(), string


@each_language
def test_a_sentence_stays_a_sentence(tag):
    for one in entries(tag):
        if not one.pluralizable:
            is_sentence = strings(one)[0].endswith((".", "。", "।"))
            assert is_sentence == ids(one)[0].endswith("."), one.id


# Pages


class Texts(HTMLParser):
    """What a page says, in texts and in attributes; not code, nor the names of languages."""

    SAID = ("aria-label", "title", "alt", "placeholder", "data-away", "data-own", "data-copied")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.attributes: dict[str, str | None] = {}
        self.texts: list[str] = []
        self._within: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "html":
            self.attributes = dict(attributes)
        elif tag in ("script", "style", "code", "textarea") or "lang" in dict(attributes):
            self._within.append(tag)
        self.texts += [value for name, value in attributes if name in self.SAID and value]

    def handle_endtag(self, tag: str) -> None:
        if self._within[-1:] == [tag]:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if not self._within and data.strip():
            self.texts.append(data.strip())


# Each shows texts that the others do not.
PATHS = [
    "/",
    "/incidents",
    "/incident/1",
    "/incident/3",
    "/incident/5",
    "/monitor/earth",
    "/monitor/earth/2025-12-31",
    "/embed/earth",
    "/nothing",
]
# What is written alike in every language, and what the tests themselves write.
ALIKE = {"API", "Atom", "RSS", "JSON", "Feed", "UTC", "am", "pm", "ms"}
OURS = {"Earth", "Mars", "Broken", "Sluggish", "Works", "Words"}

each_path = pytest.mark.parametrize("path", PATHS)


@pytest.fixture
async def eventful(service: Service) -> Service:
    """A service that has something of everything to tell."""
    config, now = service.app[keys.RUNNING].config, service.clock()
    await apply(service.app, replace(config, site=replace(config.site, title="Earth", name="Earth")))
    for days, status in enumerate(("UP", "DOWN", "DEGRADED")):
        await service.beat("earth", status, at=now - days * DAY)
    await service.beat("mars", at=now - 3 * HOUR)
    for fields in (
        {"title": "Broken", "startDatetime": now - HOUR, "impact": "DOWN"},
        {
            "title": "Sluggish",
            "startDatetime": now - DAY,
            "endDatetime": now - DAY + 60,
            "impact": "DEGRADED",
        },
        {"title": "Works", "startDatetime": now + DAY, "isMaintenance": True},
        {"title": "Works", "startDatetime": now - HOUR, "endDatetime": now + HOUR, "isMaintenance": True},
        {"title": "Works", "startDatetime": now + HOUR, "isMaintenance": True, "isResolved": True},
    ):
        await service.post("/api/incident", {"body": "Words", "tags": ["earth"], **fields})
    await service.post("/api/incident/1/comment", {"body": "Words"})
    return service


async def fetch(service: Service, path: str = "/", **headers: str) -> ClientResponse:
    """The answer to a visitor, not followed elsewhere."""
    reply: ClientResponse = await service.client.get(
        path, headers={"Accept": "text/html", **headers}, allow_redirects=False
    )
    await reply.read()
    return reply


async def read(service: Service, path: str, tag: str) -> Texts:
    """The page in a language."""
    return Texts(await (await fetch(service, path, **{"Accept-Language": tag})).text())


@each_path
async def test_a_page_says_which_language_it_is_in(eventful, path):
    for tag in NAMES:
        reply = await fetch(eventful, path, **{"Accept-Language": tag})
        page = Texts(await reply.text())
        assert (page.attributes["lang"], page.attributes["dir"]) == (tag, "ltr")
        assert reply.headers["Content-Language"] == tag


def pattern(text: str) -> re.Pattern[str]:
    """The text with anything in the places of its placeholders."""
    return re.compile(".+".join(map(re.escape, re.split(r"%\(\w+\)s", text))), re.DOTALL)


@each_path
async def test_a_page_leaves_no_text_in_english(eventful, path):
    english = (await read(eventful, path, SOURCE)).texts
    for tag in TRANSLATED:
        pairs = chain.from_iterable(zip(ids(one), strings(one), strict=False) for one in entries(tag))
        patterns = [pattern(text) for text, string in pairs if text != string]
        assert [text for text in english if any(one.fullmatch(text) for one in patterns)]
        said = (await read(eventful, path, tag)).texts
        assert [text for text in said if any(one.fullmatch(text) for one in patterns)] == [], tag


@each_path
async def test_where_the_script_is_another_only_names_are_in_latin_letters(eventful, path):
    """This also finds texts that nobody marked as to be translated."""
    for tag in ("hi", "ja", "zh-CN"):
        said = PLACEHOLDER.sub("", " ".join((await read(eventful, path, tag)).texts))
        assert set(re.findall(r"[A-Za-z]{2,}", said)) <= ALIKE | OURS, tag


@pytest.mark.parametrize(
    ("accepted", "tag"),
    [("fr;q=0.3, ja;q=0.9", "ja"), ("de-AT,de;q=0.8,en;q=0.5", "de"), ("pt-PT", "pt-BR"), ("nl", "en")],
)
async def test_the_browsers_languages_decide(service, accepted, tag):
    reply = await fetch(service, **{"Accept-Language": accepted})
    assert reply.headers["Content-Language"] == tag
    assert {"Accept-Language", "Cookie"} <= set(reply.headers["Vary"].split(", "))


async def test_a_chosen_language_is_kept_and_the_same_page_shown(service):
    reply = await fetch(service, "/?theme=dark&lang=de", **{"Accept-Language": "ja"})
    assert (reply.status, reply.headers["Location"]) == (303, "/?theme=dark")
    assert reply.cookies["lang"].value == "de"
    assert reply.cookies["lang"]["httponly"]
    again = await fetch(service, "/?theme=dark", **{"Accept-Language": "ja"})
    assert again.headers["Content-Language"] == "de"
    assert "Noch keine Daten" in await again.text()


@pytest.mark.parametrize("wanted", ["xx", "", "en-US", "de%0d%0aSet-Cookie:%20a=b"])
async def test_a_language_that_is_not_offered_is_not_kept(service, wanted):
    reply = await fetch(service, f"/?lang={wanted}")
    assert (reply.status, reply.headers["Location"]) == (303, "/")
    assert "Set-Cookie" not in reply.headers


async def test_only_the_languages_of_the_site_are_offered(service):
    config = service.app[keys.RUNNING].config
    site = replace(config.site, locales=("es", "fr"), locale="fr")
    await apply(service.app, replace(config, site=site))
    reply = await fetch(service, **{"Accept-Language": "de", "Cookie": "lang=de"})
    assert reply.headers["Content-Language"] == "fr"
    assert re.findall(r'hreflang="([^"]+)" lang=', await reply.text()) == ["es", "fr"]


# Languages written from right to left


def test_a_language_knows_its_direction():
    assert (Locale("ar").direction, Locale("he").direction, locale("hi").direction) == ("rtl", "rtl", "ltr")


def test_the_stylesheet_says_start_and_end_and_never_left_and_right():
    style = re.sub(r"/\*.*?\*/", "", STYLESHEET.read_text(), flags=re.DOTALL)
    declared = re.findall(r"[{;]\s*([\w-]+)\s*:\s*([^;{}]+)", style)
    assert len(declared) > 300
    assert [one for one in declared if re.search(r"(^|-)(left|right)(-|$)", one[0])] == []
    sided = ("text-align", "float", "clear", "justify-content", "caption-side")
    assert [one for one in declared if one[0] in sided and re.search("left|right", one[1])] == []
    boxes = [
        value.split() for name, value in declared if name in ("margin", "padding", "inset", "border-width")
    ]
    assert [box for box in boxes if len(box) == 4 and box[1] != box[3]] == []
