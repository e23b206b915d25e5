"""The JSON of requests and answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from segvol_core.organs import MAX_TEXT_LENGTH
from segvol_core.server.segment_requests import MaskStage, RequestState, SegmentRequest
from segvol_core.server.stored_volume import StoredVolume, VolumeState
from segvol_core.wire import (
    MAX_CHUNK_BYTES,
    MAX_POINTS,
    MAX_SEGMENT_NAME,
    MAX_SEGMENTS,
    MIN_CHUNK_BYTES,
)

_FARTHEST_MM = 1e6

Millimetres = Annotated[float, Field(ge=-_FARTHEST_MM, le=_FARTHEST_MM, allow_inf_nan=False)]
Position = Annotated[list[Millimetres], Field(min_length=3, max_length=3)]
MatrixRow = Annotated[list[Millimetres], Field(min_length=4, max_length=4)]
VoxelType = Literal[
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"
]


class _Strict(BaseModel):
    """Nothing is converted, nothing unknown is passed over."""

    model_config = ConfigDict(strict=True, extra="forbid")


class FailureBody(BaseModel):
    """Why something is not possible."""

    error: Annotated[str, Field(description="A sentence for the user.")]
    kind: Annotated[str, Field(description="For programs.")]


class Health(BaseModel):
    """A server that is alive."""

    version: str
    protocol: int
    device: str


class ModelDescription(BaseModel):
    """A network that the server has."""

    name: str
    window: Annotated[list[int], Field(description="Voxels (z, y, x) that it sees at once.")]
    spacing_mm: Annotated[
        list[float] | None, Field(description="Spacing (z, y, x) that it wants, if any.")
    ]


class PointBody(_Strict):
    """A click in RAS millimetres."""

    ras: Position
    positive: bool = True


class PromptsBody(_Strict):
    """What is said about one segment; at least a positive point, a box or a text."""

    points: Annotated[list[PointBody], Field(max_length=MAX_POINTS)] = []
    box: Annotated[
        list[Position] | None,
        Field(min_length=8, max_length=8, description="Eight corners in RAS millimetres."),
    ] = None
    text: Annotated[str | None, Field(min_length=1, max_length=MAX_TEXT_LENGTH)] = None


class SegmentBody(_Strict):
    """A segment to compute."""

    segment: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_SEGMENT_NAME,
            description="The client's own name for it: a newer request for it replaces an older.",
        ),
    ]
    prompts: PromptsBody
    to_name: Annotated[
        bool,
        Field(
            description="Whether to say which organs the final mask could show: the request goes "
            "on after its final mask then."
        ),
    ] = False
    keep_largest: Annotated[
        bool,
        Field(description="Whether the final mask is to be no more than its largest island."),
    ] = False


class SegmentsBody(_Strict):
    """Segments to compute together."""

    segments: Annotated[list[SegmentBody], Field(min_length=1, max_length=MAX_SEGMENTS)]


class VolumeBody(_Strict):
    """A volume whose voxels will follow in chunks: C order (k, j, i), little-endian."""

    shape_kji: Annotated[
        list[Annotated[int, Field(ge=1, le=65536)]], Field(min_length=3, max_length=3)
    ]
    voxel_type: VoxelType
    ijk_to_ras: Annotated[
        list[MatrixRow],
        Field(min_length=4, max_length=4, description="From voxel (i, j, k, 1) to RAS mm."),
    ]
    model: Annotated[
        str | None, Field(max_length=200, description="Name of a network; the first by default.")
    ] = None
    chunk_bytes: Annotated[int, Field(ge=MIN_CHUNK_BYTES, le=MAX_CHUNK_BYTES)] = 4 * 1024**2


class VolumeAnswer(BaseModel):
    """A volume on the server."""

    volume: Annotated[str, Field(description="What it is called in later requests.")]
    state: VolumeState
    model: str
    chunk_bytes: int
    chunks: int
    missing: Annotated[list[int], Field(description="Chunks that have not come, from 0.")]
    messages: Annotated[list[str], Field(description="Sentences for the user.")]
    error: str | None

    @classmethod
    def of(cls, volume: StoredVolume) -> VolumeAnswer:
        """Describe a volume."""
        return cls(
            volume=volume.volume_id,
            state=volume.state,
            model=volume.model,
            chunk_bytes=volume.header.chunk_bytes,
            chunks=len(volume.received),
            missing=volume.missing,
            messages=volume.messages,
            error=None if volume.error is None else str(volume.error),
        )


class ChunkAnswer(BaseModel):
    """A chunk that was received."""

    missing: Annotated[int, Field(description="How many chunks have not come.")]


class NameGuess(BaseModel):
    """A name that a mask could have."""

    name: str
    probability: float


class RequestAnswer(BaseModel):
    """A segment that was asked for."""

    request: Annotated[str, Field(description="What it is called in later requests.")]
    volume: str
    segment: str
    state: RequestState
    fraction: Annotated[float, Field(description="Part of the work that is done.")]
    mask: Annotated[MaskStage | None, Field(description="Which mask there is to fetch.")]
    message: Annotated[str | None, Field(description="A sentence for the user.")]
    names: Annotated[
        list[NameGuess], Field(description="The most probable ones, where they were asked for.")
    ]
    error: FailureBody | None
    revision: Annotated[int, Field(description="Number of its last change.")]

    @classmethod
    def of(cls, request: SegmentRequest) -> RequestAnswer:
        """Describe a request."""
        error = None
        if request.error is not None:
            error = FailureBody(error=request.error, kind=request.error_kind)
        return cls(
            request=request.request_id,
            volume=request.volume.volume_id,
            segment=request.wish.segment,
            state=request.state,
            fraction=request.fraction,
            mask=request.mask_stage,
            message=request.message,
            names=[NameGuess(name=name, probability=share) for name, share in request.names],
            error=error,
            revision=request.revision,
        )


class RequestsAnswer(BaseModel):
    """News of a client's requests."""

    instance: Annotated[
        str, Field(description="Another one: the server was started anew and knows nothing.")
    ]
    revision: Annotated[int, Field(description="To ask for what changes after this.")]
    requests: list[RequestAnswer]
