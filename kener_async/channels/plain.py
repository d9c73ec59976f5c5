"""The text of a message without markup, for mail, telephones and whatever shows text as it is."""

from kener_async.channels.texts import MessageText, MonitorGroup


def plain_body(text: MessageText, *, with_links: bool = True) -> str:
    """What a message says below its title, in lines."""
    lines = [f"{line.label}: {line.value}" if line.label else line.value for line in text.lines]
    for group in text.groups:
        lines += [*_group(group), ""]
    lines.append(text.now)
    if with_links:
        lines += [f"{link.label}: {link.url}" for link in text.links]
    return "\n".join(lines).strip()


def _group(group: MonitorGroup) -> list[str]:
    monitors = [f"- {each.name}{f' ({each.detail})' if each.detail else ''}" for each in group.monitors]
    return [f"{group.heading}:", *monitors, *([f"- {group.others}"] if group.others else [])]


def cut_bytes(text: str, limit: int) -> str:
    """At most so many bytes of UTF-8; an ellipsis stands for the rest."""
    encoded = text.encode()
    return text if len(encoded) <= limit else encoded[: limit - 3].decode(errors="ignore").rstrip() + "…"
