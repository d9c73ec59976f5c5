"""The routes of the signed-in side, below `[server] manage_path`: every screen is in one list."""

from aiohttp import web

from kener_async.api.http.endpoint import meet_expectation
from kener_async.api.http.policy import policy_of
from kener_async.api.http.responses import Handler
from kener_async.web.manage import (
    account,
    incidents,
    invitation,
    new_incident,
    oidc,
    overview,
    passkeys,
    people,
    sign_in,
)
from kener_async.web.manage.frame import SCREENS

Route = tuple[str, str, Handler]  # method, path below that of all screens, handler

ROUTES: tuple[Route, ...] = (
    ("GET", "", overview.overview),
    ("POST", "/acknowledge-all", overview.acknowledge_all),
    ("POST", "/acknowledge", overview.acknowledge),
    ("POST", "/snooze", overview.snooze),
    ("GET", "/incidents", incidents.listing),
    ("GET", "/incidents/new", new_incident.new),
    ("POST", "/incidents/new", new_incident.open_incident),
    ("GET", "/incidents/{number}", incidents.incident),
    ("POST", "/incidents/{number}/updates", incidents.post_update),
    ("GET", "/incidents/{number}/updates/{update}", incidents.edit_update),
    ("POST", "/incidents/{number}/updates/{update}", incidents.change_update),
    ("GET", "/incidents/{number}/updates/{update}/delete", incidents.ask_delete_update),
    ("POST", "/incidents/{number}/updates/{update}/delete", incidents.delete_update),
    ("POST", "/incidents/{number}/publish", incidents.publish),
    ("POST", "/incidents/{number}/unpublish", incidents.unpublish),
    ("POST", "/incidents/{number}/measured", incidents.take_measured),
    ("GET", "/incidents/{number}/edit", incidents.edit),
    ("POST", "/incidents/{number}/edit", incidents.change),
    ("GET", "/incidents/{number}/postmortem", incidents.edit_postmortem),
    ("POST", "/incidents/{number}/postmortem", incidents.save_postmortem),
    ("GET", "/incidents/{number}/delete", incidents.ask_delete),
    ("POST", "/incidents/{number}/delete", incidents.delete),
    ("GET", "/sign-in", sign_in.sign_in),
    ("POST", "/sign-in", sign_in.post_sign_in),
    ("GET", "/second-step", sign_in.second_step),
    ("POST", "/second-step", sign_in.post_second_step),
    ("GET", "/sign-in/again", sign_in.again),
    ("POST", "/sign-in/again", sign_in.post_again),
    ("GET", "/sign-in/oidc", oidc.begin),
    ("GET", "/sign-in/oidc/callback", oidc.callback),
    ("GET", "/sign-in/again/oidc", oidc.begin_again),
    ("POST", "/sign-in/passkey", passkeys.post_sign_in),
    ("POST", "/sign-in/passkey/options", passkeys.sign_in_options),
    ("POST", "/sign-in/again/passkey", passkeys.post_again),
    ("POST", "/sign-in/again/passkey/options", passkeys.again_options),
    ("POST", "/second-step/passkey", passkeys.post_second_step),
    ("POST", "/second-step/passkey/options", passkeys.second_step_options),
    ("POST", "/invitation/{token}/passkey", passkeys.post_invitation),
    ("POST", "/invitation/{token}/passkey/options", passkeys.invitation_options),
    ("GET", "/account/passkeys", passkeys.account_passkeys),
    ("POST", "/account/passkeys", passkeys.post_passkey),
    ("POST", "/account/passkeys/options", passkeys.creation_options),
    ("POST", "/account/passkeys/{passkey}", passkeys.rename_passkey),
    ("GET", "/account/passkeys/{passkey}/delete", passkeys.ask_to_delete),
    ("POST", "/account/passkeys/{passkey}/delete", passkeys.delete_passkey),
    ("GET", "/sign-out", sign_in.sign_out),
    ("POST", "/sign-out", sign_in.post_sign_out),
    ("GET", "/invitation/{token}", invitation.invitation),
    ("POST", "/invitation/{token}", invitation.accept),
    ("GET", "/account", account.account),
    ("POST", "/account/password", account.change_password),
    ("GET", "/account/codes", account.set_up_codes),
    ("POST", "/account/codes", account.post_codes),
    ("GET", "/account/codes/remove", account.ask_remove_codes),
    ("POST", "/account/codes/remove", account.remove_codes),
    ("POST", "/account/recovery-codes", account.renew_recovery_codes),
    ("POST", "/account/sessions/end", account.end_session),
    ("POST", "/account/sign-out-everywhere", account.sign_out_everywhere),
    ("POST", "/account/display", account.change_display),
    ("GET", "/people", people.list_people),
    ("GET", "/people/new", people.new_person),
    ("POST", "/people/new", people.invite),
    ("GET", "/people/{number:[0-9]{1,18}}", people.person),
    ("POST", "/people/{number:[0-9]{1,18}}", people.change),
    ("POST", "/people/{number:[0-9]{1,18}}/link", people.new_link),
    ("GET", "/people/{number:[0-9]{1,18}}/deactivate", people.ask_deactivate),
    ("POST", "/people/{number:[0-9]{1,18}}/deactivate", people.deactivate),
    ("POST", "/people/{number:[0-9]{1,18}}/activate", people.activate),
    ("GET", "/people/{number:[0-9]{1,18}}/reset-factor", people.ask_reset_factor),
    ("POST", "/people/{number:[0-9]{1,18}}/reset-factor", people.reset_factor),
    ("POST", "/people/{number:[0-9]{1,18}}/sign-out", people.sign_out_person),
)


def add_routes(app: web.Application, manage_path: str) -> None:
    """Add the screens below a path; without one there are none."""
    if not manage_path:
        return
    policies = [(path, policy_of(handler)) for method, path, handler in ROUTES if method == "GET"]
    app[SCREENS] = {path: one.act for path, one in policies if one is not None and one.act is not None}
    for method, path, handler in ROUTES:
        add = app.router.add_get if method == "GET" else app.router.add_post
        add(manage_path + path, handler, expect_handler=meet_expectation)
