"""`python -m app.cli`: the same as the command `smallfirst`."""

from app.cli import main

main()
