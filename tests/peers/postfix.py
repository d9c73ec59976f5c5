"""The channel of mail against Debian's postfix, as root: STARTTLS, unknown recipients, mails in a mailbox."""

import os
import pwd
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kener_async.channels.mail import Mail
from kener_async.channels.message import NotDelivered
from kener_async.channels.smtp import MailServer
from kener_async.config.channels import MailChannel
from kener_async.config.model import MailConfig
from kener_async.config.schema import built, schema_of
from kener_async.domain.notices import NoticeKind
from tests.rigs.certificates import Authority
from tests.rigs.mail_server import parsed
from tests.rigs.messages import AT, HOSTILE, a_message, an_item
from tests.rigs.process import a_free_port

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
myhostname = localhost
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = example.org
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ {{ops@example.org = ops/}} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {certificate}
smtpd_tls_security_level = encrypt
smtpd_recipient_restrictions = reject_unlisted_recipient, reject_unauth_destination
"""
MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
"""


class Postfix:
    """An instance with its files in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, a_free_port()
        self.authority = Authority(folder)
        user = pwd.getpwnam("postfix")
        certificate = self.authority.certificate()
        certificate.chmod(0o600)
        values = {"folder": folder, "certificate": certificate, "uid": user.pw_uid, "gid": user.pw_gid}
        (folder / "main.cf").write_text(MAIN.format(**values))
        (folder / "master.cf").write_text(MASTER.format(port=self.port))
        for name in ("queue", "data", "mail"):
            (folder / name).mkdir()
        for name in ("data", "mail"):
            os.chown(folder / name, user.pw_uid, user.pw_gid)
        self.command("start")

    def command(self, word: str) -> None:
        subprocess.run(["postfix", "-c", str(self.folder), word], check=True, capture_output=True)

    def mails(self, count: int) -> list[Any]:
        """The mails in the mailbox, once there are so many."""
        deadline = time.monotonic() + 20
        while True:
            files = list(self.folder.glob("mail/ops/new/*"))
            if len(files) >= count:
                return [parsed(file.read_bytes()) for file in files]
            assert time.monotonic() < deadline, f"{len(files)} of {count} mails"
            time.sleep(0.1)


@pytest.fixture
def postfix() -> Iterator[Postfix]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = Postfix(Path(folder))
        try:
            yield server
        finally:
            server.command("stop")


def channel(postfix: Postfix, *to: str) -> Mail:
    mail = {
        "host": "localhost",
        "port": postfix.port,
        "from": "Status <status@example.com>",
        "helo": "localhost",
    }
    told = {"name": "ops", "kind": "mail", "to": list(to), "locale": "en", "timezone": "UTC"}
    server = MailServer(
        built(MailConfig, schema_of(MailConfig)().load(mail), Path()),
        tls=ssl.create_default_context(cafile=postfix.authority.file),
    )
    return Mail(built(MailChannel, schema_of(MailChannel)().load(told), Path()), server, lambda: AT)


async def test_mails_arrive_as_they_were_written(postfix: Postfix):
    sending = channel(postfix, "Ops <ops@example.org>")
    messages = [
        a_message(an_item(kind, text), text=text, key=f"m-{kind}-{name}")
        for kind in NoticeKind
        for name, text in HOSTILE.items()
    ]
    for message in messages:
        await sending.send(message, {})
    await sending.server.close()
    mails = postfix.mails(len(messages))
    assert {mail["Message-ID"] for mail in mails} == {f"<{message.key}@example.com>" for message in messages}
    for mail in mails:
        assert mail.defects == []
        assert mail["Bcc"] is None
        assert "ESMTPS" in str(mail["Received"])
        assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


async def test_an_unknown_recipient_is_for_good_and_keeps_no_other_from_the_mail(postfix: Postfix):
    with pytest.raises(NotDelivered) as caught:
        await channel(postfix, "nobody@example.org").send(a_message(), {})
    assert caught.value.for_good
    assert str(caught.value).startswith("550 5.1.1")
    both = channel(postfix, "ops@example.org", "nobody@example.org")
    assert "550 5.1.1" in (await both.send(a_message(), {})).answer
    await both.server.close()
    assert len(postfix.mails(1)) == 1
