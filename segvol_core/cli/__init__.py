"""The command `segvol`: one file per command, put together in `app.py`.

Nothing here imports torch before a command needs it, so that `segvol --help` answers at once.
"""

import signal
import sys


def main() -> None:
    """Run the command line of this process; Ctrl-C at any moment of it is exit code 130."""
    try:
        try:
            from segvol_core.cli.app import app  # noqa: PLC0415

            app(prog_name="segvol")
        finally:
            # While Python ends there is nothing to cancel, and Ctrl-C would hide the exit code.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        sys.exit(130)
