"""What a server allows, and how much memory it may use."""

from __future__ import annotations

from dataclasses import dataclass, field

from segvol_core.embeddings import Precision
from segvol_core.server.computer_memory import default_memory_bytes
from segvol_core.session import DEFAULT_CACHE_BYTES
from segvol_core.zoom import Placement

GIB = 1024**3


@dataclass(frozen=True)
class Settings:
    """Limits of a server.

    Attributes
    ----------
    memory_bytes
        Budget of all volumes together with what is computed from them.
    cache_bytes
        Embeddings of one volume.
    windows, precision
        As of :class:`~segvol_core.session.Session`.
    encode_ahead
        Whether to encode volumes while nobody waits for an answer.
    naming_seconds
        How long names are looked for after the masks; a large network on a CPU needs longer than
        anyone waits.
    max_volume_bytes
        Voxels of one volume.
    max_json_bytes
        Body of any message that is not a chunk of a volume.
    max_volumes
        Of all clients.
    max_open_requests, max_open_requests_per_client
        Segments that are waited for.
    max_result_bytes
        Packed masks that nobody has fetched yet; the oldest go first.
    keep_volume_seconds, keep_result_seconds
        A volume that nobody uses and a mask that nobody fetches are forgotten after that time.
    """

    memory_bytes: int = field(default_factory=default_memory_bytes)
    cache_bytes: int = DEFAULT_CACHE_BYTES
    windows: Placement = "lattice"
    precision: Precision = "float32"
    encode_ahead: bool = True
    naming_seconds: float = 30.0
    max_volume_bytes: int = 2 * GIB
    max_json_bytes: int = 1024**2
    max_volumes: int = 64
    max_open_requests: int = 2048
    max_open_requests_per_client: int = 512
    max_result_bytes: int = GIB // 2
    keep_volume_seconds: float = 3600.0
    keep_result_seconds: float = 600.0
