"""The command line. It parses, calls the rooms below and prints; it holds no logic of its own."""

import sys

__all__ = ["main"]

_INTERRUPTED = 130  # what typer makes of Ctrl-C


def main() -> None:
    """Run the command ``visard``; visard's own errors are printed as one sentence, with exit code 2."""
    from visard.cli.commands import app
    from visard.errors import Interrupted, VisardError

    try:
        app()
    except VisardError as error:
        sys.stderr.write(f"visard: {error}\n")
        sys.exit(_INTERRUPTED if isinstance(error, Interrupted) else 2)
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:
            sys.stderr.write(
                "visard: interrupted; finished photos are kept, "
                "and with -o FOLDER the same command goes on from there.\n"
            )
        raise
