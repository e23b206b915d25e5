"""`python -m segvol_core.cli` is `segvol`."""

from segvol_core.cli import main

main()
