"""The part of `segvol segment --server` that differs: prompts are answered by a server."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import Progress

from segvol_core.cli.answers import Answer
from segvol_core.cli.clock import Clock
from segvol_core.cli.progress import step
from segvol_core.client import Connection, RemoteSession, RemoteStage
from segvol_core.errors import SegVolError, SegVolWarning
from segvol_core.prompts import Prompts
from segvol_core.session import NOTHING_FOUND
from segvol_core.volume import Volume
from segvol_core.weights_folder import STARTER

_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """Where to segment.

    Attributes
    ----------
    url, token
        Of the server.
    ca_file
        Certificates to trust, or None for the usual ones.
    insecure
        Whether to send images to another computer without https.
    """

    url: str
    token: str
    ca_file: Path | None = None
    insecure: bool = False

    def connect(self) -> Connection:
        """Check that the server is there, and speaks to this version."""
        connection = Connection(
            self.url,
            self.token,
            timeout_seconds=_TIMEOUT_SECONDS,
            ca_file=None if self.ca_file is None else str(self.ca_file),
            insecure=self.insecure,
        )
        connection.health()
        return connection


def answers_there(
    server: Server,
    weights: str,
    volume: Volume,
    prompts: Sequence[Prompts],
    to_name: Collection[int],
    *,
    progress: Progress,
    clock: Clock,
) -> tuple[list[Answer], str]:
    """Final masks of all prompts, and the server's device.

    Parameters
    ----------
    weights
        Name of one of the server's networks; the default name stands for its first one.
    to_name
        Indices of the prompts whose masks are to be named.

    Raises
    ------
    SegVolError
        If the server cannot be reached, or refuses something.
    """
    with step(progress, "Asking the server"):
        connection = server.connect()
        device = str(connection.health()["device"])
    clock.lap("load")
    model = None if weights == STARTER else Path(weights).name
    session = RemoteSession(connection, volume, model=model)
    with contextlib.closing(connection), contextlib.closing(session):
        bar = progress.add_task("Sending the CT", total=1.0)
        for fraction in session.upload():
            progress.update(bar, completed=fraction)
        progress.remove_task(bar)
        clock.lap("prepare")
        return _answers(session, prompts, to_name, progress), device


def _answers(
    session: RemoteSession,
    prompts: Sequence[Prompts],
    to_name: Collection[int],
    progress: Progress,
) -> list[Answer]:
    begin = time.perf_counter()
    bar = progress.add_task("Segmenting", total=1.0)
    wanted = {str(index): each for index, each in enumerate(prompts)}
    fractions = dict.fromkeys(wanted, 0.0)
    coarse_seconds: dict[str, float] = {}
    answers: dict[str, Answer] = {}
    for update in session.segment(wanted, [str(index) for index in to_name]):
        seconds = time.perf_counter() - begin
        if update.error is not None:
            raise update.error
        if update.message is not None and update.message != NOTHING_FOUND:
            warnings.warn(update.message, SegVolWarning, stacklevel=2)
        if update.segment is None:
            continue
        fractions[update.segment] = update.fraction
        progress.update(bar, completed=sum(fractions.values()) / len(fractions))
        if update.stage is RemoteStage.COARSE:
            coarse_seconds[update.segment] = seconds
        elif update.mask is not None:
            coarse = coarse_seconds.get(update.segment, seconds)
            answers[update.segment] = Answer(update.mask.whole(), coarse, seconds)
        elif update.stage is RemoteStage.NAMED:
            answers[update.segment] = replace(answers[update.segment], names=dict(update.names))
    progress.remove_task(bar)
    if len(answers) < len(wanted):
        raise SegVolError("The server has not answered every prompt.")
    return [answers[name] for name in wanted]
