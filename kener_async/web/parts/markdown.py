"""Markdown of authors as safe HTML for pages and feeds."""

import re
from collections.abc import Callable
from functools import lru_cache
from html import unescape

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
_COSTLY = re.compile(r"[\[<\n]")
_MARKUP = re.compile(r"[]!*_~`&\\|:#$%+=@^{}>-]")
_QUOTE = re.compile(r"[ \t\d.)*+-]*>")

_SCHEME = re.compile(r"(?<![\w+.-])https?$", re.IGNORECASE)
_ADDRESS = re.compile(r"://[^\W_][^\s<>\"'`\[\]{}|\\^]*")

_WORDS = {"strong", "em", "s", "code", "a"}
_BLOCKS = {"p", "br", "hr", "pre", "blockquote", "ul", "ol", "li", "h3", "h4", "h5", "h6", "img"}
_TABLES = {"table", "thead", "tbody", "tr", "th", "td"}


def rendered(text: str) -> Markup:
    """Render a text of several paragraphs; beyond the limits it is escaped instead."""
    return _rendered(text.replace("\r\n", "\n").replace("\r", "\n"))


def rendered_inline(text: str) -> Markup:
    """Render one line, without paragraphs, headings, lists, tables and images."""
    return _rendered_inline(" ".join(text.split()))


def excerpt(text: str, length: int) -> str:
    """The text without markup, on one line, cut after a word to at most `length` characters."""
    words = " ".join(unescape(_text_only.clean(rendered(text))).split())
    if len(words) <= length:
        return words
    beginning = words[:length].rpartition(" ")[0] or words[: length - 1]
    return beginning.rstrip(".,;:!? ") + "…"


def _cached(render: Callable[[str], Markup]) -> Callable[[str], Markup]:
    """Cache the results for many short texts and some long ones."""
    short, long = lru_cache(4096)(render), lru_cache(128)(render)

    def find(text: str) -> Markup:
        if len(text) > MAX_LENGTH:
            return render(text)
        return short(text) if len(text) <= SHORT else long(text)

    return find


@_cached
def _rendered(text: str) -> Markup:
    if not _is_simple(text):
        return _as_written(text)
    return Markup(_clean_blocks.clean(_blocks.render(text)))  # noqa: S704


@_cached
def _rendered_inline(line: str) -> Markup:
    if not _is_simple(line):
        return escape(line)
    return Markup(_clean_words.clean(_words.renderInline(line)))  # noqa: S704


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


def _lower_headings(state: StateCore) -> None:
    """Turn h1 into h3, h2 into h4 and so on, because h1 and h2 belong to the page."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"


def _name_other_images(state: StateCore) -> None:
    """Replace images that are not loaded over https by their description."""
    for line in state.tokens:
        line.children = [_named(token) if _is_other_image(token) else token for token in line.children or ()]


def _is_other_image(token: Token) -> bool:
    return token.type == "image" and not str(token.attrs["src"]).lower().startswith("https://")


def _named(image: Token) -> Token:
    return Token("text", "", 0, content=image.content)


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802
        """Accept http, https and mailto; other links are shown as they were written."""
        return url.lower().startswith(("https://", "http://", "mailto:"))


def _parser() -> MarkdownIt:
    parser = _Parser("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.inline.ruler.after("text", "bare_address", _link_bare_address)
    parser.core.ruler.push("lower_headings", _lower_headings)
    parser.core.ruler.push("name_other_images", _name_other_images)
    return parser


def _cleaner(tags: set[str]) -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=tags,
        attributes={"*": set(), "a": {"href"}, "img": {"src", "alt"}, "ol": {"start"}},
        set_tag_attribute_values={"img": {"loading": "lazy", "referrerpolicy": "no-referrer"}},
        link_rel="nofollow noopener noreferrer",
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
    )


_blocks = _parser()
_words = _parser().disable("image")
_clean_blocks = _cleaner(_WORDS | _BLOCKS | _TABLES)
_clean_words = _cleaner(_WORDS)
_text_only = nh3.Cleaner(tags=set())
