"""The FastAPI application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from segvol_core import __version__
from segvol_core.errors import SegVolError
from segvol_core.server.engine import Engine
from segvol_core.server.failures import Failure, failure_of
from segvol_core.server.gate import Gate, failure_response
from segvol_core.server.routes import router

_LONGEST_SENTENCE = 400
_TIDY_SECONDS = 15.0


def create_app(engine: Engine, token: str) -> FastAPI:
    """Build the application round an engine, which starts and stops with it.

    Parameters
    ----------
    engine
        Not started yet.
    token
        What every request must bring, also for the description of the routes.
    """
    app = FastAPI(
        title="SegVol",
        version=__version__,
        summary="Segment anything in a CT by a click, a box or a name.",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.engine = engine
    app.include_router(router)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(SegVolError, _core_error)
    app.add_middleware(Gate, token=token, max_json_bytes=engine.settings.max_json_bytes)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine: Engine = app.state.engine
    engine.start()
    tidying = asyncio.create_task(_tidy(engine))
    yield
    tidying.cancel()
    engine.stop()


async def _tidy(engine: Engine) -> None:
    while True:
        await asyncio.sleep(_TIDY_SECONDS)
        engine.drop_unused()


async def _http_error(_: Request, error: Exception) -> Response:
    if isinstance(error, Failure):
        return failure_response(error)
    if not isinstance(error, HTTPException):
        raise error
    kind = {404: "unknown", 405: "method"}.get(error.status_code, "malformed")
    headers = None if error.headers is None else dict(error.headers)
    return failure_response(Failure(error.status_code, kind, str(error.detail), headers))


async def _validation_error(_: Request, error: Exception) -> Response:
    """Say what is wrong and where, but not what was sent: that is the patient's."""
    if not isinstance(error, RequestValidationError):
        raise error
    found = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    # A name of a field that is none may hold characters that JSON cannot.
    sentence = "; ".join(found).encode("ascii", "backslashreplace").decode()
    return failure_response(Failure(422, "malformed", sentence[:_LONGEST_SENTENCE]))


async def _core_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, SegVolError):
        raise error
    return failure_response(failure_of(error))
