"""One process of `segvol serve --ray`: the application of the plain server, with its own engine."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import torch
from ray import serve

from segvol_core.distributed.http_message import HttpAnswer, HttpRequest, answer_of
from segvol_core.errors import SegVolError
from segvol_core.server.application import create_app
from segvol_core.server.engine import Engine
from segvol_core.server.failures import Failure
from segvol_core.server.gate import failure_response
from segvol_core.server.logs import start_log
from segvol_core.server.serving import load_models
from segvol_core.server.settings import Settings


@dataclass(frozen=True)
class ReplicaPlan:
    """What every replica is started with.

    Attributes
    ----------
    weights, device, settings, token
        As of the plain server; the memory is that of one replica.
    threads
        Cores that PyTorch uses.
    log_file
        Log of the front; a replica's lies beside it. None is the standard error output.
    """

    weights: tuple[str, ...]
    device: str
    settings: Settings
    token: str
    threads: int
    log_file: Path | None = None


class Replica:
    """Answers requests that the front passes on.

    A replica that cannot load its networks lives all the same and says why, since Ray Serve would
    start it again and again.
    """

    def __init__(self, plan: ReplicaPlan) -> None:
        number = serve.get_replica_context().rank.rank
        start_log(None if plan.log_file is None else replica_log(plan.log_file, number))
        torch.set_num_threads(plan.threads)
        self._problem: str | None = None
        try:
            models, device = load_models(plan.weights, plan.device)
        except SegVolError as error:
            self._problem = str(error)
            return
        self._app = create_app(Engine(models, plan.settings, device), plan.token)
        self._life = contextlib.AsyncExitStack()
        self._begun = False

    async def problem(self) -> str | None:
        """Why there are no networks, or None."""
        return self._problem

    async def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer as the plain server would."""
        if self._problem is not None:
            return await answer_of(failure_response(Failure(503, "busy", self._problem)), request)
        if not self._begun:
            self._begun = True
            lifespan = self._app.router.lifespan_context(self._app)
            await self._life.enter_async_context(lifespan)
        return await answer_of(self._app, request)


def replica_log(log_file: Path, number: int) -> Path:
    """Log of a replica beside that of the front."""
    return log_file.with_name(f"{log_file.stem}.replica-{number}{log_file.suffix}")
