"""The shipped fake: a server that answers on the wire of a real backend, its failures included, and counts.

    scripted = Scripted(Model(imitates="ollama", name="qwen3:4b"))
    async with serve(scripted) as url: ...

It is product code: the demo and `kind: scripted` run on it, and tests reconcile the gateway's counters with
what it saw. It shares no table with the adapters, so that a rule that is wrong there shows.
"""

from app.backends.scripted.app import Scripted
from app.backends.scripted.endpoint import Endpoint
from app.backends.scripted.model import Fault, Kind, Model, Seen
from app.backends.scripted.server import serve, serve_in_thread

__all__ = ["Endpoint", "Fault", "Kind", "Model", "Scripted", "Seen", "serve", "serve_in_thread"]
