"""Smallfirst: a routing gateway that answers with the small model first."""

__version__ = "0.1.0"
