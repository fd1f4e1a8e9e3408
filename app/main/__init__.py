"""The composition root: builds everything, joins the rooms, starts and stops.

`application` is the whole gateway as an ASGI app for as long as its context lasts; `serve` runs it on a port.
"""

from app.main.application import Application, application
from app.main.run import serve

__all__ = ["Application", "application", "serve"]
