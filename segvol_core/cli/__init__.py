"""The command `segvol`: one file per command, put together in `app.py`.

Nothing here imports torch before a command needs it, so that `segvol --help` answers at once.
"""


def main() -> None:
    """Run the command line of this process."""
    from segvol_core.cli.app import app  # noqa: PLC0415

    app(prog_name="segvol")
