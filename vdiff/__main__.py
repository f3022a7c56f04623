"""`python -m vdiff` is the vdiff command."""

from vdiff.cli import main

main()
