"""The routes: from HTTP to the engine and back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.security import HTTPBearer

from segvol_core import __version__
from segvol_core.prompts import Prompts
from segvol_core.server.engine import Engine
from segvol_core.server.failures import Failure
from segvol_core.server.schemas import (
    ChunkAnswer,
    FailureBody,
    Health,
    ModelDescription,
    RequestAnswer,
    RequestsAnswer,
    SegmentsBody,
    VolumeAnswer,
    VolumeBody,
)
from segvol_core.server.segment_requests import Wish
from segvol_core.server.stored_volume import VolumeHeader
from segvol_core.wire import (
    CHECKSUM_HEADER,
    CLIENT_HEADER,
    MAX_WAIT_SECONDS,
    PROTOCOL,
    PROTOCOL_HEADER,
)

_REASONS = {
    400: "The message is no HTTP or no JSON.",
    401: "The token is missing or wrong.",
    404: "There is nothing of this name, or it is another client's.",
    409: "Not now: the volume is not complete, or this chunk is just being received.",
    410: "It was there, and was dropped to make room.",
    413: "The message or the volume is too large.",
    422: "Something in the message is not as it should be, or cannot be used on the volume.",
    426: "Client and server are of versions that do not fit.",
    429: "Too much is asked for at once: try again later.",
}
_BYTES = "application/octet-stream"
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"model": FailureBody, "description": _REASONS[status]}
        for status in sorted({400, 401, 413, 422, 426, *statuses})
    }


async def _protocol(
    _protocol: Annotated[
        int | None,
        Header(alias=PROTOCOL_HEADER, description=f"What the client speaks: {PROTOCOL}."),
    ] = None,
) -> None:
    """For the description only: the gate compares it."""


async def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


EngineOf = Annotated[Engine, Depends(_engine)]
Client = Annotated[
    str,
    Header(
        alias=CLIENT_HEADER,
        pattern="^[A-Za-z0-9_-]{16,64}$",
        description="A random name that the client has made up.",
    ),
]
Name = Annotated[str, Path(max_length=64)]


router = APIRouter(
    prefix="/v1",
    dependencies=[Depends(HTTPBearer(auto_error=False)), Depends(_protocol)],
)


@router.get("/health", responses=_failures())
async def health(engine: EngineOf) -> Health:
    """Say that the server is alive, and which version it is."""
    return Health(version=__version__, protocol=PROTOCOL, device=engine.device)


@router.get("/models", responses=_failures())
async def models(engine: EngineOf) -> list[ModelDescription]:
    """List the networks, the default one first."""
    return [
        ModelDescription(
            name=name,
            window=list(model.config.window),
            spacing_mm=None if model.config.spacing_mm is None else list(model.config.spacing_mm),
        )
        for name, model in engine.models.items()
    ]


@router.post("/volumes", status_code=201, responses=_failures(404, 429))
async def add_volume(body: VolumeBody, client: Client, engine: EngineOf) -> VolumeAnswer:
    """Announce a volume; its chunks follow."""
    k, j, i = body.shape_kji
    matrix = np.array(body.ijk_to_ras, dtype=np.float64)
    header = VolumeHeader((k, j, i), body.voxel_type, matrix, body.chunk_bytes)
    return VolumeAnswer.of(engine.add_volume(client, body.model, header))


@router.get("/volumes/{volume}", responses=_failures(404, 410))
async def get_volume(volume: Name, client: Client, engine: EngineOf) -> VolumeAnswer:
    """Describe a volume: how far it is, and which chunks to send to go on after a break."""
    return VolumeAnswer.of(engine.volume(client, volume))


@router.put(
    "/volumes/{volume}/chunks/{index}",
    responses=_failures(404, 409, 410),
    openapi_extra={"requestBody": {"required": True, "content": {_BYTES: _BINARY}}},
)
async def put_chunk(
    *,
    volume: Name,
    index: Annotated[int, Path(ge=0, le=2**31)],
    client: Client,
    checksum: Annotated[
        str,
        Header(
            alias=CHECKSUM_HEADER,
            pattern="^[0-9a-f]{8}$",
            description="CRC-32 of the chunk, in hexadecimal digits.",
        ),
    ],
    engine: EngineOf,
    request: Request,
) -> ChunkAnswer:
    """Send a chunk, in any order; all have the size that was agreed on, but for the last."""
    with engine.chunk_writer(client, volume, index) as writer:
        async for piece in request.stream():
            writer.write(piece)
        writer.finish(checksum)
    return ChunkAnswer(missing=len(engine.volume(client, volume).missing))


@router.delete("/volumes/{volume}", status_code=204, responses=_failures(404, 410))
async def delete_volume(volume: Name, client: Client, engine: EngineOf) -> None:
    """Forget a volume, and all requests and masks on it."""
    engine.remove_volume(client, volume)


@router.post("/volumes/{volume}/requests", status_code=202, responses=_failures(404, 409, 410, 429))
async def request_segments(
    volume: Name, body: SegmentsBody, client: Client, engine: EngineOf
) -> list[RequestAnswer]:
    """Ask for segments. Older requests for the same segments of the volume end."""
    wanted = [
        Wish(
            each.segment,
            Prompts.from_dict(each.prompts.model_dump()),
            each.to_name,
            each.keep_largest,
        )
        for each in body.segments
    ]
    if len({wish.segment for wish in wanted}) < len(wanted):
        raise Failure(422, "malformed", "Two of the segments have the same name.")
    requests = engine.request_segments(client, volume, wanted)
    return [RequestAnswer.of(request) for request in requests]


@router.get("/requests", responses=_failures())
async def list_requests(
    client: Client,
    engine: EngineOf,
    after: Annotated[
        int, Query(ge=0, le=2**62, description="Only what has changed after this revision.")
    ] = 0,
    wait: Annotated[
        float,
        Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for a change."),
    ] = 0.0,
) -> RequestsAnswer:
    """Report on the client's requests, at once or as soon as there is something new."""
    revision, changed = engine.changed_requests(client, after)
    if not changed and wait:
        await _change(engine, client, after, wait)
        revision, changed = engine.changed_requests(client, after)
    return RequestsAnswer(
        instance=engine.instance,
        revision=revision,
        requests=[RequestAnswer.of(request) for request in changed],
    )


@router.get("/requests/{request}", responses=_failures(404))
async def get_request(request: Name, client: Client, engine: EngineOf) -> RequestAnswer:
    """Report on one request."""
    return RequestAnswer.of(engine.request(client, request))


@router.get(
    "/requests/{request}/mask",
    # Not a class with a type of its own, which FastAPI would describe the failures with, too.
    response_class=Response,
    responses={
        200: {
            "content": {_BYTES: _BINARY},
            "description": "Header of 44 bytes, little-endian: `SVMK`; the format (16 bits), 1; 16 "
            "bits 0; nine numbers of 32 bits: shape, first voxel and size of the extent, each (k, "
            "j, i). Then one bit for each voxel of the extent, most significant first.",
        },
        **_failures(404, 410),
    },
)
async def get_mask(request: Name, client: Client, engine: EngineOf) -> Response:
    """Return the latest mask of a request."""
    found = engine.request(client, request)
    if found.mask is None:
        if found.state.open:
            raise Failure(404, "no_mask", "There is no mask yet.")
        raise Failure(410, "dropped_mask", "This mask is not kept any more: ask for it again.")
    return Response(found.mask, media_type=_BYTES)


@router.delete("/requests/{request}", status_code=204, responses=_failures(404))
async def delete_request(request: Name, client: Client, engine: EngineOf) -> None:
    """Cancel a request that is open; forget one that has ended, with its mask."""
    engine.remove_request(client, request)


async def _change(engine: Engine, client: str, after: int, seconds: float) -> None:
    """Wait until a request of the client changes."""
    changed = asyncio.Event()
    wake = _thread_safe(asyncio.get_running_loop(), changed)
    with engine.listener(client, wake):
        if engine.changed_requests(client, after)[1]:
            return
        try:
            await asyncio.wait_for(changed.wait(), seconds)
        except asyncio.TimeoutError:
            return


def _thread_safe(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> Callable[[], None]:
    def wake() -> None:
        loop.call_soon_threadsafe(event.set)

    return wake
