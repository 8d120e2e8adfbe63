"""Every kind of finding that stays, and why. What isn't here fails the run."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Explained:
    """A finding is explained by the first entry whose three expressions all match it."""

    finding: str
    """The name of Schemathesis's failure class, e.g. RejectedPositiveData."""
    operation: str
    """The method and path of the operation, as in the contract."""
    answer: str
    """The status and body of the answer, with a blank between."""
    reason: str

    def covers(self, finding: str, operation: str, answer: str) -> bool:
        return (
            re.fullmatch(self.finding, finding) is not None
            and re.fullmatch(self.operation, operation) is not None
            and re.match(self.answer, answer, re.DOTALL) is not None
        )


REFUSED = "RejectedPositiveData"
ANY = ".*"

EXPLAINED = [
    Explained(
        REFUSED,
        "GET /v1/users/me/usage-breakdown",
        "422 .*there is no such day",
        "The pattern of `end_date` allows days that no calendar has, e.g. February 30.",
    ),
    Explained(
        REFUSED,
        "POST /v1/ssh-keys",
        "422 .*it is no SSH public key",
        "No pattern can say that the blob of a key is whole and names the type before it.",
    ),
    Explained(
        "ServerError",
        r"POST /v1/webhooks/endpoints/\{endpoint_id\}/verify",
        "502 .*could not be verified",
        "502 is the declared answer when the receiver can't be reached; its name was generated.",
    ),
    Explained(
        "ServerError",
        r"(GET|POST|DELETE) /(files(/compose)?|metrics|code-interpreter/.*|(process\.Process|filesystem\.Filesystem)/[\w{}]+)|(GET|HEAD) /health",
        "50[12] ",
        "501 and 502 are what E2B's clients know as 'not offered' and 'this sandbox does not run'; both are declared.",
    ),
    Explained(
        "ServerError",
        ANY,
        "501 .*runs no machines: it executes no commands",
        "What InstaVM's client asks of a machine is refused in words with the declared 501 where there is none.",
    ),
    Explained(
        "ContentDeserializationError|AcceptedNegativeData",
        r"POST /(process\.Process/(Start|Connect|StreamInput)|filesystem\.Filesystem/WatchDir)",
        "200 .*\"error\"",
        "A stream of Connect is envelopes, no text, and its status is 200: a refusal is in its last message.",
    ),
    Explained(
        "ServerError",
        ANY,
        "501 .* is not offered: ",
        "What a known client sends and Sandpit can't do is answered 501 in words, which is declared.",
    ),
    Explained(
        "ServerError|UnsupportedMethodResponse",
        ANY,
        "501 .*Sandpit does not offer ",
        "Methods that a known client sends and Sandpit can't answer are in the contract's `x-not-offered-paths`.",
    ),
    Explained(
        "ServerError",
        r"(GET|POST|PUT) /(v3/templates|v2/templates/[\w{}]+/builds/[\w{}]+|templates/[\w{}]+/(builds|files)/.*)",
        "501 .*Sandpit builds no templates here",
        "Building a template needs machines. Without, it is refused in words with the declared 501.",
    ),
    Explained(
        REFUSED,
        "GET /v1/audit/events",
        r'422 .*"datetime_(from_date_)?parsing"',
        "No schema keyword names the times that pydantic reads, which `since` and `until` are; the description lists them.",
    ),
    Explained(
        "JsonSchemaError",
        "GET /openapi.yaml",
        "200 ",
        "The body is text, as declared; Schemathesis parses YAML before it checks the type.",
    ),
    Explained(
        REFUSED,
        "GET (/v1/sessions/sandboxes|/v1/vms/)",
        r'422 .*"query","metadata"',
        "The documented contract declares `metadata` as any string; one that is not a JSON object is refused.",
    ),
    Explained(
        REFUSED,
        r"POST /(v2/)?sandboxes|PUT /sandboxes/\{sandboxID\}/network",
        "400 .*(Invalid network rule|Domains in allowOut|DNS server)",
        "No simple pattern tells addresses, ranges and names apart, or says which rules need another; descriptions do.",
    ),
    Explained(
        REFUSED,
        "GET /(v2/)?sandboxes",
        "400 .*Error parsing metadata",
        "No pattern can say that text, decoded twice, is `key=value` pairs; the parameter's description does.",
    ),
    Explained(
        REFUSED,
        r"GET /(v2/sandboxes|snapshots|v2/templates|templates/\{templateID\})",
        "400 .*Invalid next token",
        "Only what the server gave as `X-Next-Token` is one; the parameter's description says so.",
    ),
    Explained(
        REFUSED,
        ANY,
        r"4(00|22) .*a string contains (the NUL character|half of a surrogate pair)",
        "Inside free-form JSON no schema can forbid NUL without describing all JSON; the contract's description does.",
    ),
    Explained(
        REFUSED,
        r"POST /sandboxes/\{sandboxID\}/snapshots",
        "400 .*The namespace of a snapshot can only be",
        "Which namespace is the caller's own depends on the caller; the member's description says so.",
    ),
    Explained(
        REFUSED,
        ANY,
        "422 .*This Idempotency-Key was used for another request",
        "Whether a key was used before depends on earlier requests; the header's description says so.",
    ),
    Explained(
        REFUSED,
        r"POST /sandboxes/\{sandboxID\}/snapshots",
        "400 .*snapshot_filesystem_only_disabled",
        "E2B's clients know this refusal by its `error_code`, which no schema gives; the member's description says so.",
    ),
    Explained(
        REFUSED,
        r"(POST|PATCH) (/v1/webhooks/endpoints(/\{endpoint_id\})?|/events/webhooks(/\{webhookID\})?)",
        "(422|400) .*its address is not public",
        "Which addresses are refused depends on the operator's SANDPIT_WEBHOOK_ALLOW; the description says so.",
    ),
    Explained(
        REFUSED,
        r"(POST|PATCH) (/v1/webhooks/endpoints(/\{endpoint_id\})?|/events/webhooks(/\{webhookID\})?)",
        r'(422 .*it must be an http or https URL","input":"[^"]*(\[|[Xx][Nn]--)|400 .*it must be an http or https URL)',
        "No simple pattern tells an IPv6 address in brackets, or valid Punycode, from other text; a URL parser does.",
    ),
    Explained(
        REFUSED,
        r"GET /events/sandboxes(/\{sandboxID\})?",
        "400 .*offset: at most 10000 events can be skipped",
        "The refusal says what to do instead, which a schema's maximum could not; the description has the number.",
    ),
    Explained(
        REFUSED,
        r"PATCH /events/webhooks/\{webhookID\}",
        "400 .*signatureSecret: the webhook was made through /v1/webhooks",
        "Through which dialect a webhook was made depends on earlier requests.",
    ),
    Explained(
        REFUSED,
        r"POST /v1/api-keys/",
        "422 .*expires_at must be in the future",
        "What time it is no schema knows; the member's description says that it is to come.",
    ),
    Explained(
        REFUSED,
        "POST /sandboxes/.*/connect|POST /v2/sandboxes/.*/connect",
        "400 .*Timeout must be greater than 0",
        "0 is refused of a paused sandbox only, which is resumed; the member's description says so.",
    ),
    Explained(
        "JsonSchemaError",
        "GET /v1/events",
        "200 ",
        "The body is text, as declared; Schemathesis checks each event of the stream in its place.",
    ),
    Explained(
        REFUSED,
        "POST /_test/clock",
        "422 .*the clock ends with the year 9999",
        "How far the clock can be moved depends on where it is.",
    ),
    Explained(
        REFUSED,
        "POST /_test/faults",
        "422 .*(the contract has no operation|no response to these requests has this member|headers and a body need a status"
        "|a status below 400 needs a body|a response with status [0-9]+ has no body|can not be sent)",
        "A fault that can't happen is refused, which depends on the whole contract; the description says so.",
    ),
]


def reason_for(finding: str, operation: str, answer: str) -> str | None:
    """Returns why a finding stays, or None for one that is not explained."""
    for entry in EXPLAINED:
        if entry.covers(finding, operation, answer):
            return entry.reason
    return None
