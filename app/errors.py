"""Every error of the gateway: whose fault it is, what status it earns, whether another backend may help.

    GatewayError
    +-- ClientFault                 the request cannot succeed as it is; no other backend will help
    |   +-- InvalidRequest          400  field and cure named
    |   +-- ContextTooLong          400  code context_length_exceeded
    |   +-- Unauthenticated         401
    |   +-- Forbidden               403
    |   +-- UnknownModel            404
    |   +-- BodyTooLarge            413
    |   +-- UnsupportedMediaType    415
    +-- UpstreamFault               a backend failed; the next step of the plan may help unless `final`
    |   +-- UpstreamRejected        its 4xx about the request itself (final)
    |   +-- UpstreamOverflow        400  the prompt does not fit its context window
    |   +-- UpstreamRefused         502  it refuses us: wrong key, unknown model (the operator's fault)
    |   +-- UpstreamRateLimited     429
    |   +-- UpstreamLoading         503  a model loads or an endpoint wakes
    |   +-- UpstreamUnavailable     502
    |   +-- UpstreamTimeout         504
    |   +-- UpstreamMalformed       502  an answer that cannot be used, or one that broke off
    +-- OurFault
        +-- Saturated               503  slots and queue are full, or the wait was too long
        +-- DeadlineExceeded        504  the client's own deadline passed
        +-- NoBackendAvailable      503
    ConfigError                     at start and reload only, never on a request

`kind` is a closed set (label of metrics, part of `final-reason`). Messages are shown to clients: they never
hold keys, URLs or prompt text. Only `app/api/errors.py` knows the OpenAI envelope.
"""

from __future__ import annotations

from typing import ClassVar


class ConfigError(Exception):
    """A config or artifact that cannot be used; the message names file, key and cure."""


class GatewayError(Exception):
    """Base of all errors a request can end in.

    `retry_after` is in seconds; `should_retry` is what `x-should-retry` tells SDKs (None: let them decide).
    """

    kind: ClassVar[str] = "internal"
    status: int = 500
    type: str = "api_error"
    code: str | None = "internal_error"
    should_retry: bool | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status


class ClientFault(GatewayError):
    kind = "client"
    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class InvalidRequest(ClientFault):
    kind = "invalid-request"


class ContextTooLong(ClientFault):
    kind = "context-length"
    code = "context_length_exceeded"


class Unauthenticated(ClientFault):
    kind = "unauthenticated"
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class Forbidden(ClientFault):
    kind = "forbidden"
    status = 403
    type = "permission_error"
    code = "forbidden"


class UnknownModel(ClientFault):
    kind = "unknown-model"
    status = 404
    code = "model_not_found"


class BodyTooLarge(ClientFault):
    kind = "body-too-large"
    status = 413
    code = "body_too_large"


class UnsupportedMediaType(ClientFault):
    kind = "media-type"
    status = 415
    code = "unsupported_media_type"


class UpstreamFault(GatewayError):
    """A backend failed. `final` means that no other backend would do better."""

    kind = "upstream"
    status = 502
    type = "upstream_error"
    code = "upstream_error"
    final: ClassVar[bool] = False


class UpstreamRejected(UpstreamFault):
    kind = "rejected"
    status = 400
    type = "invalid_request_error"
    code = "invalid_request"
    final = True
    should_retry = False


class UpstreamOverflow(UpstreamFault):
    kind = "overflow"
    status = 400
    type = "invalid_request_error"
    code = "context_length_exceeded"
    should_retry = False


class UpstreamRefused(UpstreamFault):
    kind = "refused"
    code = "upstream_refused"
    should_retry = False


class UpstreamRateLimited(UpstreamFault):
    kind = "rate-limited"
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class UpstreamLoading(UpstreamFault):
    kind = "loading"
    status = 503
    type = "overloaded_error"
    code = "model_loading"


class UpstreamUnavailable(UpstreamFault):
    kind = "unavailable"
    code = "upstream_unavailable"


class UpstreamTimeout(UpstreamFault):
    kind = "timeout"
    status = 504
    type = "timeout_error"
    code = "upstream_timeout"
    should_retry = False


class UpstreamMalformed(UpstreamFault):
    kind = "malformed"
    code = "upstream_malformed"


class OurFault(GatewayError):
    kind = "gateway"
    status = 503
    type = "overloaded_error"
    code = "overloaded"


class Saturated(OurFault):
    kind = "saturated"


class DeadlineExceeded(OurFault):
    kind = "deadline"
    status = 504
    type = "timeout_error"
    code = "deadline_exceeded"
    should_retry = False


class NoBackendAvailable(OurFault):
    kind = "no-backend"
    code = "no_backend_available"
