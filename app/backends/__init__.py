"""The adapters: how each kind of server is spoken to. Adding a kind is a row in `quirks` and maybe a probe."""
