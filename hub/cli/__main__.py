"""`python -m hub.cli`: the `tapecast` command, whichever way the package was installed."""

from hub.cli import main

main(prog_name="tapecast")
