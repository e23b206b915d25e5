"""The one thread that owns the networks."""

from __future__ import annotations

import logging
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from segvol_core.errors import SegVolError, SegVolWarning
from segvol_core.inference import Stage
from segvol_core.islands import largest_island
from segvol_core.memory_errors import is_out_of_memory
from segvol_core.model.segvol import SegVol
from segvol_core.server.failures import kind_of
from segvol_core.server.fair_queue import FairQueue
from segvol_core.server.segment_requests import Group, RequestState, RequestStore
from segvol_core.server.settings import Settings
from segvol_core.server.stored_volume import StoredVolume, VolumeState
from segvol_core.server.volumes import VolumeStore
from segvol_core.session import Session, Update
from segvol_core.volume import checked_volume
from segvol_core.wire import MAX_NAMES, pack_mask

_log = logging.getLogger(__name__)

Task = Callable[[], None]

_NO_MEMORY = "The server's memory does not suffice for this volume."

_PROGRESS_SECONDS = 0.1
"""Progress is told no more often: every telling wakes the client and takes time of the window's."""


class Worker(threading.Thread):
    """Does one step after the other: a window of a request, preparing a volume, encoding ahead.

    Requests go first, in the order that the queue says; then volumes that have just come; and only
    while nobody waits for anything, volumes are encoded ahead, the most recently used one first.
    Since a step is one window at most, a new request never waits for long, and one that was
    cancelled or replaced stops after the window it is at.

    Parameters
    ----------
    lock
        Guards volumes, requests and queue; notified when there may be something to do.
    tell
        Called with a client's name when one of its requests has changed.
    """

    def __init__(
        self,
        models: Mapping[str, SegVol],
        settings: Settings,
        *,
        lock: threading.Condition,
        volumes: VolumeStore,
        requests: RequestStore,
        queue: FairQueue[Group],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(name="segvol-worker", daemon=True)
        self._models = models
        self._settings = settings
        self._lock = lock
        self._volumes = volumes
        self._requests = requests
        self._queue = queue
        self._tell = tell
        self._stopping = False

    def stop(self) -> None:
        """End after the step that is under way."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()

    def run(self) -> None:
        """Work until `stop`."""
        while True:
            with self._lock:
                task = self._next_task()
                while task is None and not self._stopping:
                    self._lock.wait()
                    task = self._next_task()
                if self._stopping or task is None:
                    return
            task()

    def _next_task(self) -> Task | None:
        if turn := self._queue.next():
            client, group = turn
            return lambda: self._advance(client, group)
        by_use = sorted(self._volumes, key=lambda volume: volume.last_used, reverse=True)
        for volume in by_use:
            if volume.state is VolumeState.PREPARING:
                return lambda: self._prepare_early(volume)
        if self._settings.encode_ahead:
            for volume in by_use:
                if volume.session is not None and not volume.encoded:
                    return lambda: self._encode_ahead(volume)
        return None

    # -- Requests ----------------------------------------------------------------------------------

    def _advance(self, client: str, group: Group) -> None:
        """Do the next step of a group, and end it if nobody waits for it any more."""
        begin = time.perf_counter()
        going_on = False
        if group.open_requests:
            if 2 * len(group.open_requests) < len(group.requests):
                # Most of it was taken back: begin again without that. What has been encoded stays.
                group.updates = None
            going_on = self._step(group)
        with self._lock:
            self._queue.spend(client, time.perf_counter() - begin)
            if not going_on or not group.open_requests:
                self._queue.remove(client, group)
                going_on = False
        if not going_on:
            group.updates = None
        self._tell(client)

    def _step(self, group: Group) -> bool:
        """Publish the next update of a group; whether there will be more."""
        with _noted_warnings() as noted:
            try:
                if group.updates is None:
                    self._begin(group)
                    return True
                if self._is_too_long_for_names(group):
                    self._end_without_names(group)
                    return False
                update = next(group.updates)
                packed = _packed(group, update)
            except StopIteration:
                return False
            except SegVolError as error:
                self._fail(group, kind_of(error) or "other", str(error))
                return False
            except Exception as error:  # noqa: BLE001  # The worker must outlive any fault.
                if is_out_of_memory(error):
                    self._fail(group, "memory", _NO_MEMORY)
                else:
                    self._fail(group, "fault", _log_fault(error))
                return False
        with self._lock:
            self._publish(group, update, packed, noted)
        return True

    def _begin(self, group: Group) -> None:
        session = self._session(group.volume)
        with self._lock:
            group.requests = group.open_requests
            for request in group.requests:
                request.state = RequestState.RUNNING
                if not group.volume.told:
                    request.message = " ".join(group.volume.messages) or None
                self._requests.change(request)
            group.volume.told = True
        group.updates = session.segment_many(
            [request.wish.prompts for request in group.requests],
            [index for index, request in enumerate(group.requests) if request.wish.to_name],
        )

    def _publish(
        self, group: Group, update: Update, packed: bytes | None, noted: list[str]
    ) -> None:
        now = time.monotonic()
        news = packed is not None or bool(noted) or update.stage is Stage.NAMED
        quiet = not news and now - group.told < _PROGRESS_SECONDS
        group.told = group.told if quiet else now
        for index, request in enumerate(group.requests):
            if not request.state.open:
                continue
            request.fraction = update.fraction
            if quiet:
                continue
            sentences = [*noted]
            if packed is not None and index == update.index:
                request.mask = packed
                request.mask_stage = "final" if update.stage is Stage.FINAL else "coarse"
                if update.message is not None:
                    sentences.append(update.message)
            if sentences:
                request.message = " ".join(sentences)
            named = update.stage is Stage.NAMED and index == update.index
            if named:
                best = update.names[:MAX_NAMES]
                request.names = tuple((each.organ.name, each.probability) for each in best)
            if named or (request.mask_stage == "final" and not request.wish.to_name):
                self._requests.end(request, RequestState.DONE)
            else:
                self._requests.change(request)

        if all(request.mask_stage == "final" for request in group.open_requests):
            group.masks_done = group.masks_done or now

    def _is_too_long_for_names(self, group: Group) -> bool:
        begun = group.masks_done
        return begun is not None and time.monotonic() - begun > self._settings.naming_seconds

    def _end_without_names(self, group: Group) -> None:
        with self._lock:
            for request in group.open_requests:
                self._requests.end(request, RequestState.DONE)

    def _fail(self, group: Group, kind: str, sentence: str) -> None:
        with self._lock:
            for request in group.open_requests:
                if request.mask_stage == "final":
                    # Only its names are missing.
                    self._requests.end(request, RequestState.DONE)
                    continue
                request.error_kind, request.error = kind, sentence
                self._requests.end(request, RequestState.FAILED)

    # -- Volumes -----------------------------------------------------------------------------------

    def _session(self, volume: StoredVolume) -> Session:
        """Session of a volume, made when it is first needed.

        Raises
        ------
        SegVolError
            If the volume cannot be segmented, now and ever after.
        """
        if volume.session is None:
            begin = time.perf_counter()
            with _noted_warnings() as noted:
                try:
                    session = Session(
                        self._models[volume.model],
                        checked_volume(volume.voxels(), volume.header.ijk_to_ras),
                        windows=self._settings.windows,
                        cache_bytes=volume.cache_bytes,
                        precision=self._settings.precision,
                    )
                except SegVolError as error:
                    volume.error = error
                    raise
            volume.messages = noted
            volume.session = session
            _log.info(
                "prepared a volume of %s voxels (k, j, i) in %.1f s",
                "x".join(map(str, volume.header.shape_kji)),
                time.perf_counter() - begin,
            )
        return volume.session

    def _prepare_early(self, volume: StoredVolume) -> None:
        """Prepare a volume before anything is asked of it."""
        try:
            self._session(volume)
        except SegVolError:
            _log.info("a volume was refused")
        except Exception as error:  # noqa: BLE001  # The worker must outlive any fault.
            sentence = _NO_MEMORY if is_out_of_memory(error) else _log_fault(error)
            volume.error = SegVolError(sentence)

    def _encode_ahead(self, volume: StoredVolume) -> None:
        """Encode the next window of a volume."""
        if volume.session is None:
            return
        if volume.ahead is None:
            volume.ahead = volume.session.encode_ahead()
        try:
            volume.encoded = next(volume.ahead, None) is None
        except Exception as error:  # noqa: BLE001  # Encoding ahead is a courtesy only.
            _log_fault(error)
            volume.encoded = True
        if volume.encoded:
            volume.ahead = None


def _packed(group: Group, update: Update) -> bytes | None:
    """Mask of an update as it was asked for, if it has one."""
    if update.mask is None:
        return None
    final = update.stage is Stage.FINAL
    islands_are_left_out = final and group.requests[update.index].wish.keep_largest
    return pack_mask(largest_island(update.mask) if islands_are_left_out else update.mask)


def _log_fault(error: Exception) -> str:
    """Log where an exception came from, and return a sentence for the user.

    What the exception says is not logged, since it may hold a position or a value of a patient.
    """
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("%s\n%s", type(error).__name__, where)
    return f"A fault of the program ({type(error).__name__}); the server's log says where."


@contextmanager
def _noted_warnings() -> Iterator[list[str]]:
    """Yield a list of the warnings that are meant for the user."""
    noted: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SegVolWarning)
        try:
            yield noted
        finally:
            noted += [str(each.message) for each in caught if each.category is SegVolWarning]
