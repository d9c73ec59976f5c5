"""Markdown of authors as safe HTML for pages and feeds."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from html import unescape
from typing import Concatenate, ParamSpec

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markupsafe import Markup, escape

# The limits of what is parsed, measured so that the slowest text within them takes about 100 ms. The time
# grows with the square of the number of quoted lines and of table rows.
MAX_LENGTH = 16_384
MAX_MARKUP = 6_000
MAX_NESTED = 40_000
SHORT = 1_024  # characters; more short texts are cached than long ones
LONG_BLOCK = 4  # how many times as long as asked for a first block may be
BASE = "base"  # the key of the environment in which the parser finds it
_COSTLY = re.compile(r"[\[<\n]")
_MARKUP = re.compile(r"[]!*_~`&\\|:#$%+=@^{}>-]")
_QUOTE = re.compile(r"[ \t\d.)*+-]*>")

_SCHEME = re.compile(r"(?<![\w+.-])https?$", re.IGNORECASE)
_ADDRESS = re.compile(r"://[^\W_][^\s<>\"'`\[\]{}|\\^]*")

_WORDS = {"strong", "em", "s", "code", "a"}
_BLOCKS = {"p", "br", "hr", "pre", "blockquote", "ul", "ol", "li", "h3", "h4", "h5", "h6", "img"}
_TABLES = {"table", "thead", "tbody", "tr", "th", "td"}


def rendered(text: str, base: str = "") -> Markup:
    """Render a text of several paragraphs; beyond the limits it is escaped instead.

    `base` comes before links and images that begin with a slash: a base path, or for feeds a full address.
    """
    return _rendered(_with_plain_line_ends(text), base)


def rendered_inline(text: str, base: str = "") -> Markup:
    """Render one line, without paragraphs, headings, lists, tables and images."""
    return _rendered_inline(" ".join(text.split()), base)


def beginning(text: str, length: int, base: str = "") -> Markup:
    """Render the first blocks of a text, such as paragraphs and lists, up to about `length` characters.

    An ellipsis follows if there is more. Of a first block of several times that length it is an excerpt.
    """
    return _beginning(_with_plain_line_ends(text), base, length)


def _with_plain_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def excerpt(text: str, length: int) -> str:
    """The text without markup, on one line, cut after a word to at most `length` characters."""
    words = " ".join(unescape(_text_only.clean(rendered(text))).split())
    if len(words) <= length:
        return words
    beginning = words[:length].rpartition(" ")[0] or words[: length - 1]
    return beginning.rstrip(".,;:!? ") + "…"


P = ParamSpec("P")


def _cached(render: Callable[Concatenate[str, P], Markup]) -> Callable[Concatenate[str, P], Markup]:
    """Cache the results for many short texts and some long ones; the text is the first argument."""
    short, long = lru_cache(4096)(render), lru_cache(128)(render)

    def find(text: str, /, *args: P.args, **kwargs: P.kwargs) -> Markup:
        if len(text) > MAX_LENGTH:
            return render(text, *args, **kwargs)
        return (short if len(text) <= SHORT else long)(text, *args, **kwargs)  # type: ignore[arg-type]

    return find


@_cached
def _rendered(text: str, base: str) -> Markup:
    if not _is_simple(text):
        return _as_written(text)
    return Markup(_clean_blocks.clean(_blocks.render(text, {BASE: base})))  # noqa: S704


@_cached
def _rendered_inline(line: str, base: str) -> Markup:
    if not _is_simple(line):
        return escape(line)
    return Markup(_clean_words.clean(_words.renderInline(line, {BASE: base})))  # noqa: S704


@_cached
def _beginning(text: str, base: str, length: int) -> Markup:
    if not _is_simple(text):
        return Markup("<p>{}</p>\n").format(excerpt(text, length))
    environment = {BASE: base}
    tokens = _blocks.parse(text, environment)
    end = _end_of_beginning(tokens, length)
    if tokens and end == 0:
        return Markup("<p>{}</p>\n").format(excerpt(text, length))
    html = _clean_blocks.clean(_blocks.renderer.render(tokens[:end], _blocks.options, environment))
    return Markup(html if end == len(tokens) else f"{html}<p>…</p>\n")  # noqa: S704


def _end_of_beginning(tokens: Sequence[Token], length: int) -> int:
    """How many tokens the first blocks have that fit the length; 0: not even a long first block does."""
    end = size = 0
    for position, token in enumerate(tokens, start=1):
        size += len(token.content)
        if size > (length if end else LONG_BLOCK * length):
            break
        if token.level == 0 and token.nesting <= 0:
            end = position
    return end


def _is_simple(text: str) -> bool:
    if len(text) > MAX_LENGTH:
        return False
    lines = text.split("\n")
    markup = 4 * len(_COSTLY.findall(text)) + len(_MARKUP.findall(text))
    quotes = sum(_QUOTE.match(line) is not None for line in lines)
    columns = max(line.count("|") for line in lines)
    return markup <= MAX_MARKUP and len(lines) * (quotes + 4 * columns) <= MAX_NESTED


def _as_written(text: str) -> Markup:
    """The escaped text in paragraphs."""
    paragraphs = [part.strip("\n") for part in str(escape(text)).split("\n\n")]
    html = ("<p>" + part.replace("\n", "<br>\n") + "</p>\n" for part in paragraphs if part.strip())
    return Markup("".join(html))  # noqa: S704


# Extensions of CommonMark


def _link_bare_address(state: StateInline, silent: bool) -> bool:
    """An inline rule: link `https://...` in running text, without the punctuation that follows."""
    if state.linkLevel > 0 or state.src[state.pos] != ":":
        return False
    scheme = _SCHEME.search(state.src[max(state.pos - 6, 0) : state.pos])
    if scheme is None or not (silent or state.pending.endswith(scheme[0])):
        return False
    rest = _ADDRESS.match(state.src, state.pos, state.posMax)
    if rest is None:
        return False
    address_text = rest[0].rstrip("" if "(" in rest[0] else ")").rstrip("*_~.,;:!?")
    address = state.md.normalizeLink(scheme[0] + address_text)
    if not state.md.validateLink(address):
        return False
    if not silent:
        state.pending = state.pending.removesuffix(scheme[0])
        state.push("link_open", "a", 1).attrs = {"href": address}
        state.push("text", "", 0).content = scheme[0] + address_text
        state.push("link_close", "a", -1)
    state.pos += len(address_text)
    return True


def _prefix_paths(state: StateCore) -> None:
    """Put the base before links and images that begin with a slash."""
    for line in state.tokens:
        for token in line.children or ():
            for name in ("href", "src"):
                address = str(token.attrs.get(name, ""))
                if _is_path(address):
                    token.attrs[name] = state.env[BASE] + address


def _is_path(address: str) -> bool:
    """Whether it is a path of this site: //example.org is another, and so is /\\example.org in browsers."""
    return address.startswith("/") and not address.startswith(("//", "/\\"))


def _lower_headings(state: StateCore) -> None:
    """Turn h1 into h3, h2 into h4 and so on, because h1 and h2 belong to the page."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"


def _name_other_images(state: StateCore) -> None:
    """Replace images that are neither loaded over https nor files of this site by their description."""
    for line in state.tokens:
        line.children = [_named(token) if _is_other_image(token) else token for token in line.children or ()]


def _is_other_image(token: Token) -> bool:
    if token.type != "image":
        return False
    source = str(token.attrs["src"])
    return not source.lower().startswith("https://") and not _is_path(source)


def _named(image: Token) -> Token:
    return Token("text", "", 0, content=image.content)


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802
        """Accept http, https, mailto and paths of this site; others are shown as they were written."""
        return _is_path(url) or url.lower().startswith(("https://", "http://", "mailto:"))


def _parser() -> MarkdownIt:
    parser = _Parser("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    parser.inline.ruler.after("text", "bare_address", _link_bare_address)
    parser.core.ruler.push("lower_headings", _lower_headings)
    parser.core.ruler.push("name_other_images", _name_other_images)
    parser.core.ruler.push("prefix_paths", _prefix_paths)
    return parser


def _cleaner(tags: set[str]) -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=tags,
        attributes={"*": set(), "a": {"href"}, "img": {"src", "alt"}, "ol": {"start"}},
        set_tag_attribute_values={"img": {"loading": "lazy", "referrerpolicy": "no-referrer"}},
        link_rel="nofollow noopener noreferrer",
        url_schemes={"http", "https", "mailto"},
        url_relative="pass_through",
        attribute_filter=_without_other_relative_addresses,
    )


def _without_other_relative_addresses(_: str, attribute: str, value: str) -> str | None:
    if attribute in ("href", "src") and not _is_path(value) and ":" not in value:
        return None
    return value


_blocks = _parser()
_words = _parser().disable("image")
_clean_blocks = _cleaner(_WORDS | _BLOCKS | _TABLES)
_clean_words = _cleaner(_WORDS)
_text_only = nh3.Cleaner(tags=set())
