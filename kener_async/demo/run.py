"""Run the demo: in a temporary folder, with a generated history."""

import asyncio
import secrets
import shutil
import signal
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from kener_async import log as logs
from kener_async.api.http.auth import mint
from kener_async.app import apply, create_app
from kener_async.clock import system_clock
from kener_async.config.load import load
from kener_async.config.model import Config
from kener_async.demo import devices, live, past, scenes
from kener_async.domain.access import DEFAULT_SCOPES
from kener_async.domain.calendar import DAY
from kener_async.domain.people import Role
from kener_async.ops import people
from kener_async.ops.addresses import local_url
from kener_async.ops.signing_key import signing_secret
from kener_async.process.server import listening_socket, serve
from kener_async.store import tokens
from kener_async.store.sqlite import transactions

SITE = Path(__file__).parent / "site"
WELCOME = """
  The page    {url}/
  The API     {url}/api/docs
  Sign in     {link} (once)
  A token     {token}
  Try it      curl {url}/api/status -H "Authorization: Bearer {token}" \\
                -d '{{"tag": "website", "status": "DOWN", "latency": 0}}'

  Press Ctrl-C to stop; all data is deleted.
"""


def run(scene: str, host: str, port: int) -> int:
    """Serve one of SCENES until stopped; returns the exit status. Its folder is deleted afterwards."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # until the service handles signals
    try:
        with closing(listening_socket(host, port)) as free_socket:
            port = free_socket.getsockname()[1]
        with TemporaryDirectory(prefix="kener-demo-", ignore_cleanup_errors=True) as folder:
            return _run_in(Path(folder), scene, host, port)
    except OSError as error:
        click.echo(f"{host}:{port}: {error.strerror}", err=True)
        return 1


def _run_in(folder: Path, name: str, host: str, port: int) -> int:
    now = system_clock()
    scene = scenes.scene(name, now)
    simulated = devices.simulated_devices(scene)
    config = configured(folder, scene)
    config = replace(config, server=replace(config.server, host=host, port=port, shutdown_seconds=5))
    logs.configure(config.log)
    if simulated:
        click.echo(f"Generating {devices.DAYS} days of history ...", err=True)
    past.fill(config, simulated, scene.reports, now)
    send = _token(config, "simulated devices", ("status:write",), now)
    try_with = _token(config, "demo", DEFAULT_SCOPES, now)
    link = people.add(config, "ada", Role.ADMIN, (), "")
    url = local_url(host, port)
    app = create_app(config)
    app.cleanup_ctx.append(
        live.reporting(simulated, url, send, WELCOME.format(url=url, link=link, token=try_with))
    )
    return asyncio.run(serve(app, config, lambda: apply(app, config)))


def configured(folder: Path, scene: scenes.Scene) -> Config:
    """The configuration of the demo, with its files in the folder; without devices, no default statuses."""
    shutil.copytree(SITE, folder, dirs_exist_ok=True)
    config = load(folder / "config.toml", {})
    if scene.has_devices:
        return config
    blank = (replace(one, settings=replace(one.settings, default_status=None)) for one in config.monitors)
    return replace(config, monitors=tuple(blank))


def _token(config: Config, name: str, scopes: tuple[str, ...], now: int) -> str:
    record = tokens.Token(secrets.token_hex(8), name, scopes, None, now, now + 7 * DAY)
    transactions.write(config.database.path, tokens.add, record)
    return mint(signing_secret(config.auth), record)
