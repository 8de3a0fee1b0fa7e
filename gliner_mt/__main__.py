"""`python -m gliner_mt` is the command `gliner-mt`."""

from gliner_mt.cli import main

main()
