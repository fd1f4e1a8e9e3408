"""`smallfirst demo`: the whole product with nothing installed.

Two scripted backends and the gateway serve on loopback ports of this process, a client sends them the requests of
`requests.jsonl`, and what the gateway booked is compared with what the backends counted. Nothing is simulated
between client and backend; only the models are fakes, so the answers mean nothing and the routing means all.
"""

from app.cli.demo.command import demo

__all__ = ["demo"]
