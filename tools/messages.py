"""Update the catalogs in `kener_async/locales/` from the texts of pages and messages: `make messages`.

New texts are added without a translation, unused ones are removed. The files have neither dates nor
locations, so that a run without new texts changes nothing.
"""

from collections.abc import Iterator
from io import BytesIO

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from kener_async.locales.locale import CATALOGS, NAMES, SOURCE, Locale, locale

METHODS = [("**/templates/**.html", "jinja2.ext.babel_extract"), ("**.py", "python")]
OPTIONS = {"**/templates/**.html": {"silent": "false", "trim_blocks": "true", "lstrip_blocks": "true"}}
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}
HEADER = r"""# {english}.
msgid ""
msgstr ""
"Language: {language}\n"
"Plural-Forms: {plural_forms}\n"
"MIME-Version: 1.0\n"
"Content-Type: text/plain; charset=utf-8\n"
"Content-Transfer-Encoding: 8bit\n"

"""


def extracted() -> Catalog:
    """All texts of pages and messages, from code and templates."""
    found = Catalog()
    for _file, _line, text, _comments, _context in extract_from_dir(
        CATALOGS.parent, METHODS, OPTIONS, keywords=KEYWORDS, comment_tags=()
    ):
        found.add(text)
    return found


def catalog(language: Locale) -> Catalog:
    """The translations of a language; empty if it has no file."""
    name = str(language.cldr)
    try:
        with (CATALOGS / f"{language.tag}.po").open("rb") as file:
            return read_po(file, name)
    except FileNotFoundError:
        return Catalog(name)


def messages(catalog: Catalog) -> Iterator[Message]:
    """The messages of a catalog without its header."""
    return (message for message in catalog if message.id)


def written(language: Locale, texts: Catalog) -> bytes:
    """The content of the language's file for these texts."""
    merged = catalog(language)
    merged.update(texts, no_fuzzy_matching=True)
    header = HEADER.format(
        english=language.cldr.english_name, language=language.cldr, plural_forms=merged.plural_forms
    )
    file = BytesIO()
    write_po(
        file, merged, width=0, no_location=True, omit_header=True, sort_output=True, ignore_obsolete=True
    )
    return header.encode() + file.getvalue()


def main() -> None:
    texts = extracted()
    for tag in NAMES:
        if tag == SOURCE:
            continue
        (CATALOGS / f"{tag}.po").write_bytes(written(locale(tag), texts))
        missing = sum(not any(message.string or ()) for message in messages(catalog(locale(tag))))
        print(f"{tag}: {missing} of {len(texts)} texts without a translation")


if __name__ == "__main__":
    main()
