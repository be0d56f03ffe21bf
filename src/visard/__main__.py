"""``python -m visard``: the same as the command ``visard``."""

from visard.cli import main

main()
