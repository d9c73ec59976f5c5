"""The schemas of what is known of checks."""

from marshmallow import Schema, fields

from kener_async.api.http.fields import QueryInteger, QueryNumber
from kener_async.api.schemas import RequestSchema, described
from kener_async.domain.calendar import LAST_INSTANT


class CheckFaultQuery(RequestSchema):
    before = QueryNumber(
        minimum=0,
        maximum=LAST_INSTANT,
        message="Invalid before: must be UTC seconds",
        metadata=described("Only faults from before: `at` of the last one of the page before", 1731251760.25),
    )
    limit = QueryInteger(
        minimum=1,
        maximum=200,
        load_default=50,
        message="Invalid limit: must be an integer from 1 to 200",
        metadata=described("How many faults at most", 50),
    )


class PhasesSchema(Schema):
    """Seconds of each phase; null: there was no such phase, or it was not reached."""

    name = fields.Float(allow_none=True, metadata=described("Looking up the name", 0.004))
    connect = fields.Float(allow_none=True, metadata=described("Connecting", 0.021))
    tls = fields.Float(allow_none=True, metadata=described("The handshake of TLS", 0.048))
    first_byte = fields.Float(
        data_key="firstByte", allow_none=True, metadata=described("Until the answer began", 0.111)
    )


class AttemptSchema(Schema):
    at = fields.Float(metadata=described("When it began, UTC seconds", 1731251760.25))
    status = fields.String(
        allow_none=True,
        metadata={
            "enum": ["UP", "DEGRADED", "DOWN", None],
            **described("What it saw; null: it was not measured, by a fault of this server", "DOWN"),
        },
    )
    reason = fields.String(metadata=described("Why it was not UP; empty if it was", "status is 502"))
    seconds = fields.Float(metadata=described("The latency", 0.184))
    phases = fields.Nested(PhasesSchema)


class CheckSettingsSchema(Schema):
    kind = fields.String(metadata=described("How is looked: the key of [monitors.check]", "http"))
    target = fields.String(metadata=described("What is looked at, without secrets", "https://example.org/"))
    every = fields.Integer(
        allow_none=True, metadata=described("Seconds between two runs; null: at the times of `cron`", 60)
    )
    cron = fields.String(allow_none=True, metadata=described("The schedule; null: `every`", "*/5 * * * *"))
    timezone = fields.String(allow_none=True, metadata=described("Whose local time `cron` is in", "UTC"))
    timeout = fields.Float(metadata=described("Seconds that an attempt may take", 10))
    retries = fields.Integer(metadata=described("How often what failed is tried again before it counts", 2))
    retry_every = fields.Float(data_key="retryEvery", metadata=described("Seconds between attempts", 20))
    hold = fields.Integer(metadata=described("Seconds for which a status is held between runs", 190))
    expect = fields.List(
        fields.String(),
        allow_none=True,
        metadata=described("What must hold, else DOWN; null: what is good for the kind", ["status < 400"]),
    )
    warn = fields.List(
        fields.String(), metadata=described("What must hold, else DEGRADED", ["latency < 500ms"])
    )
    invert = fields.Boolean(metadata=described("Whether UP and DOWN change places", False))


class CertificateSchema(Schema):
    subject = fields.String(metadata=described("Whose it is", "CN=example.org"))
    issuer = fields.String(metadata=described("Who made it", "CN=R3,O=Let's Encrypt,C=US"))
    fingerprint = fields.String(metadata=described("SHA-256", "4355a46b19d348dc" * 4))
    position = fields.Integer(metadata=described("0: the target's own; from 1 on those of its issuers", 0))
    ends_at = fields.Integer(data_key="endsAt", metadata=described("UTC seconds", 1739025600))
    fault = fields.String(metadata=described("What is wrong with it; empty: nothing", ""))
    first_seen_at = fields.Integer(data_key="firstSeenAt", metadata=described("UTC seconds", 1731249600))
    last_seen_at = fields.Integer(
        data_key="lastSeenAt", metadata=described("UTC seconds, up to an hour behind", 1731249600)
    )
    is_current = fields.Boolean(
        data_key="isCurrent", metadata=described("Whether it is of the chain that counts", True)
    )


class ChecksResponse(Schema):
    tag = fields.String(metadata=described("Tag of the monitor", "earth"))
    check = fields.Nested(CheckSettingsSchema, allow_none=True, metadata={"description": "null: it has none"})
    last_began_at = fields.Float(
        data_key="lastBeganAt",
        allow_none=True,
        metadata=described("When the last run began since the start of the server", 1731251760.25),
    )
    next_due_at = fields.Float(
        data_key="nextDueAt", allow_none=True, metadata=described("When the next run begins", 1731251820.25)
    )
    not_measured = fields.String(
        data_key="notMeasured",
        allow_none=True,
        metadata=described("Why nothing could be measured last; null: it could", "out of file descriptors"),
    )
    attempts = fields.List(
        fields.Nested(AttemptSchema),
        metadata={"description": "The last 20 since the start of the server, newest first"},
    )
    faults = fields.List(
        fields.Nested(AttemptSchema), metadata={"description": "Attempts that were not UP, newest first"}
    )
    certificate_ends_at = fields.Integer(
        data_key="certificateEndsAt",
        allow_none=True,
        metadata=described("When the chain that counts ends, UTC seconds; null: none was seen", 1739025600),
    )
    certificates = fields.List(
        fields.Nested(CertificateSchema), metadata={"description": "Those that were seen, the last one first"}
    )


class CheckRunSchema(Schema):
    tag = fields.String(metadata=described("Tag of the monitor", "earth"))
    is_over = fields.Boolean(
        data_key="isOver",
        metadata=described("Whether the run is over; if not, it goes on trying", True),
    )
    attempts = fields.List(
        fields.Nested(AttemptSchema), metadata={"description": "Those of the run so far, oldest first"}
    )
