"""The adapter of a server that we start ourselves: while that is not there, nothing is sent."""

from __future__ import annotations

from app.backends.llama.server import Server
from app.backends.openai_http import HttpAnswer, OpenAIBackend, Wiring
from app.core.chat import ChatRequest
from app.core.types import BackendSpec
from app.errors import UpstreamLoading, UpstreamUnavailable

SOON = 5.0  # seconds until it is worth asking again


class StartedBackend(OpenAIBackend):
    """Without its server another may listen at that address: what was left there by a gateway, or nobody of ours."""

    def __init__(self, spec: BackendSpec, wiring: Wiring, server: Server) -> None:
        super().__init__(spec, wiring, server.facts())
        self._server = server

    async def send(self, request: ChatRequest, request_id: str) -> HttpAnswer:
        if not self._server.up:
            if self._server.facts().state == "down":
                raise UpstreamUnavailable("The model's server cannot be started.")
            raise UpstreamLoading("The model's server is being started.", retry_after=SOON)
        return await super().send(request, request_id)
