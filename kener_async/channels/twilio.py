"""Twilio: short messages (SMS)."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from aiohttp import ClientSession, encode_basic_auth

from kener_async.channels.http import HttpClient, HttpRequest, accepted
from kener_async.channels.message import Message, NotDelivered, Receipt
from kener_async.channels.reached import Reached
from kener_async.channels.texts import texts_of
from kener_async.config.channels import TwilioChannel

URL = "https://api.twilio.com"
MESSAGE_CHARACTERS = 1600
ANSWER_CHARACTERS = 500


class Twilio:
    """One request for each number; those that got the message do not get it again when others are retried."""

    takes_one_at_a_time = False
    keeps_state = False

    def __init__(self, settings: TwilioChannel, session: ClientSession, url: str = URL) -> None:
        self._settings = settings
        self._url = f"{url}/2010-04-01/Accounts/{quote(settings.account, safe='')}/Messages.json"
        self._client = HttpClient(session, (settings.token,))
        self._reached = Reached()

    async def send(self, message: Message, references: Mapping[str, str]) -> Receipt:
        """Return when each number has it, or cannot have it and another one has; see channels/message.py."""
        answers: list[str] = []
        failures: list[NotDelivered] = []
        for number in self._reached.missing(message.key, self._settings.to):
            try:
                receipt = accepted(
                    await self._client.request(request_of(self._settings, self._url, message, number))
                )
            except NotDelivered as error:
                failures.append(error)
            else:
                answers.append(receipt.answer)
                self._reached.add(message.key, number)
        again = [error for error in failures if not error.for_good]
        if again or (failures and not self._reached.any(message.key)):
            raise (again or failures)[0]
        self._reached.forget(message.key)
        return Receipt("; ".join([*answers, *map(str, failures)])[:ANSWER_CHARACTERS])


def request_of(settings: TwilioChannel, url: str, message: Message, number: str) -> HttpRequest:
    """The request for one number, which carries a form."""
    sender = "MessagingServiceSid" if settings.sender.startswith("MG") else "From"
    text = texts_of(message)
    links = "".join(f"\n{link.url}" for link in text.links[:1])
    form = {
        "To": number,
        sender: settings.sender,
        "Body": text.short(MESSAGE_CHARACTERS - len(links)) + links,
    }
    return HttpRequest(
        url,
        urlencode(form).encode(),
        content_type="application/x-www-form-urlencoded",
        headers=(("Authorization", encode_basic_auth(settings.account, settings.token)),),
    )
