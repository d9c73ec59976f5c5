"""Messages judged by the vendors' own code: adaptive cards by Microsoft's parser, notifications by Apprise.

`make peers` installs both. Slack's models are in tests/test_channels_chat.py, servers of others beside this.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from kener_async.channels import apprise, teams
from kener_async.channels.message import Message
from kener_async.config.channels import AppriseChannel, TeamsChannel
from kener_async.config.schema import built, schema_of
from kener_async.domain.notices import NoticeKind
from tests.rigs.messages import HOSTILE, a_message, an_item

# Where `make peers` installs them.
CARDS = Path(os.environ.get("KENER_ADAPTIVE_CARDS", "build/adaptivecards")).absolute()
APPRISE = Path(os.environ.get("KENER_APPRISE", "build/apprise")).absolute() / "bin" / "python"

JUDGE_CARDS = """
const cards = require("./node_modules/adaptivecards/dist/adaptivecards.js");
const faults = JSON.parse(require("fs").readFileSync(0)).map((content) => {
  const card = new cards.AdaptiveCard(), context = new cards.SerializationContext();
  card.parse(content, context);
  const found = [...Array(context.eventCount).keys()].map((place) => context.getEventAt(place).message);
  found.push(...card.validateProperties().validationEvents.map((event) => event.message));
  if (card.getItemCount() !== content.body.length) found.push("elements were dropped");
  if (card.getActionCount() !== (content.actions || []).length) found.push("actions were dropped");
  return found;
});
console.log(JSON.stringify(faults));
"""
JUDGE_NOTIFICATIONS = """
import http.server, json, sys, threading
import apprise
taken = []
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Sink)
threading.Thread(target=server.serve_forever, daemon=True).start()
receiver = apprise.Apprise()
receiver.add(f"json://127.0.0.1:{server.server_port}")
told = json.load(sys.stdin)
done = [
    bool(receiver.notify(title=one["title"], body=one["body"],
        notify_type=one["type"], body_format=one["format"]))
    for one in told
]
print(json.dumps([done, [one["type"] for one in taken]]))
"""


def hostile_messages() -> list[Message]:
    """One of each kind with each hostile text, and storms of them."""
    found = [a_message(an_item(kind, text), text=text) for kind in NoticeKind for text in HOSTILE.values()]
    return found + [a_message(*[an_item(text=text)] * 300, text=text) for text in HOSTILE.values()]


def settings_of(of: Any, **written: str) -> Any:
    plain = {"name": "ops", "locale": "en", "timezone": "UTC"}
    return built(of, schema_of(of)().load({**plain, **written}), Path())


def judged(command: list[str], given: Any, folder: Path | None = None) -> Any:
    done = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, timeout=120, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_card_for_teams_is_one_by_microsofts_own_parser():
    settings = settings_of(TeamsChannel, kind="teams", url="https://example.org/hook")
    contents = []
    for message in hostile_messages():
        posting = json.loads(teams.render(settings, message, {}).body)
        contents += [attachment["content"] for attachment in posting["attachments"]]
    faults = judged(["node", "-e", JUDGE_CARDS], contents, CARDS)
    assert len(faults) == len(contents)
    assert [found for found in faults if found] == []
    (wrong,) = judged(["node", "-e", JUDGE_CARDS], [contents[0] | {"body": [{"type": "TextBlok"}]}], CARDS)
    assert wrong  # the judge finds faults


def test_apprise_takes_every_notification():
    settings = settings_of(AppriseChannel, kind="apprise", url="http://127.0.0.1/notify/key")
    told = [apprise.notification(settings, message) for message in hostile_messages()]
    done, kinds = judged([str(APPRISE), "-c", JUDGE_NOTIFICATIONS], told)
    assert done == [True] * len(told)
    assert kinds == [one["type"] for one in told]
