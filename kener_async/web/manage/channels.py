"""/manage/channels: the ways to tell people, whether they work; test one, resume one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.api.manage.channels import channel_of, rules_with, tested
from kener_async.channels.trial import ChannelTrial
from kener_async.config.channels import ChannelConfig
from kener_async.config.source import source_of
from kener_async.domain.notices import ChannelState
from kener_async.domain.people import Act
from kener_async.store import channel_acts, channel_lists
from kener_async.store.channel_lists import ListedChannels
from kener_async.web.manage.frame import ManageForm, ManagePage, manage_form, manage_page
from kener_async.web.manage.lists import paged
from kener_async.web.manage.tables import table_of
from kener_async.web.manage.words import event_names

MOST_TRIALS = 100


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A channel with its state: the word for it, and how much waits."""

    channel: ChannelConfig
    state: ChannelState
    word: str
    rules: Sequence[str]
    waiting: int


@dataclass(frozen=True, slots=True)
class ShownTrial:
    """The last test of a channel by a person, kept in memory for them."""

    at: int
    trial: ChannelTrial


TRIALS: web.AppKey[dict[tuple[str, int], ShownTrial]] = web.AppKey("channel trials")


@manage_page(Act.SEE)
async def channels(page: ManagePage) -> str:
    """The channels in the order of the file."""
    found = await page.app[keys.DATABASE].read(channel_lists.load)
    shown, pages = paged(page, page.config.channels)
    return await page.render(
        "manage/channels.html", channels=[_view(page, one, found) for one in shown], pages=pages
    )


@manage_page(Act.SEE)
async def channel(page: ManagePage) -> str:
    """One channel."""
    found = channel_of(page.app, page.request.match_info["name"])
    listed = await page.app[keys.DATABASE].read(channel_lists.load)
    source = await asyncio.to_thread(source_of, page.config.text)
    _ = page.locale.gettext
    return await page.render(
        "manage/channel.html",
        view=_view(page, found, listed),
        tells=event_names(page.locale, found.tell),
        is_last_resort=page.config.notifications.last_resort == found.name,
        shown=page.app[TRIALS].get((found.name, page.person.id)),
        messages={
            "delivered": _("Delivered."),
            "not-delivered": _("It was not delivered."),
            "resumed": _("Resumed. What waited is sent now."),
        },
        **table_of(page, source, "channels", found.name),
    )


def _view(page: ManagePage, channel: ChannelConfig, found: ListedChannels) -> ChannelView:
    state = found.states.get(channel.name, ChannelState(channel.name))
    rules = rules_with(page.config, channel.name)
    return ChannelView(channel, state, _word(state), rules, found.waiting.get(channel.name, 0))


def _word(state: ChannelState) -> str:
    """`paused`, `failing`, `unused` or `works`."""
    if state.paused_at is not None:
        return "paused"
    if state.last_fault:
        return "failing"
    return "unused" if state.last_sent is None else "works"


@manage_form(Act.USE_CHANNEL, Schema(), shown_by=channel)
async def test(form: ManageForm) -> web.StreamResponse:
    """Send an example through the channel at once; its page then shows what was sent and answered."""
    found = channel_of(form.app, form.request.match_info["name"])
    path = channel_path(found.name)
    await form.write(channel_acts.note_test, found.name, form.actor, form.now, location=f"{path}#test")
    trial = await tested(form.app, found, form.grant)
    _keep(form, found.name, ShownTrial(form.now, trial))
    return form.redirect(f"{path}?done={'delivered' if trial.is_delivered else 'not-delivered'}#test")


def _keep(form: ManageForm, name: str, shown: ShownTrial) -> None:
    trials = form.app[TRIALS]
    trials.pop((name, form.person.id), None)
    trials[name, form.person.id] = shown
    if len(trials) > MOST_TRIALS:
        del trials[next(iter(trials))]


@manage_form(Act.USE_CHANNEL, Schema(), shown_by=channel)
async def resume(form: ManageForm) -> web.StreamResponse:
    """Send to the channel again that was paused."""
    found = channel_of(form.app, form.request.match_info["name"])
    path = f"{channel_path(found.name)}?done=resumed"
    await form.write(channel_acts.resume, found.name, form.actor, form.now, location=path)
    form.app[keys.DELIVERIES].wake()
    return form.redirect(path)


def channel_path(name: str) -> str:
    """The path of the screen of a channel."""
    return f"/channels/{quote(name, safe='')}"
