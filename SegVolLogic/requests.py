"""What has been asked of the engine and not been answered, and how far that is."""

from __future__ import annotations

from collections.abc import Mapping

from segvol_core.prompts import Prompts
from segvol_core.volume import Volume
from SegVolLogic.engine import Engine, EngineStage, EngineUpdate, Wish
from SegVolLogic.organ_texts import for_model


class Requests:
    """Segments that are waited for.

    Parameters
    ----------
    engine
        What computes; may be exchanged.

    Attributes
    ----------
    uploading
        Whether the engine is still getting the volume.
    progress
        Part of the work that is done, 0 to 1; None while there is none.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.uploading = False
        self.progress: float | None = None
        self._volume: Volume | None = None
        self._pending: dict[str, tuple[int, Wish]] = {}

    @property
    def running(self) -> tuple[str, ...]:
        """Segments that are waited for."""
        return tuple(self._pending)

    def use_volume(self, volume: Volume | None) -> None:
        """Work on another volume; what is waited for is asked for there by `ask_again`."""
        self._volume = volume
        self.engine.use_volume(volume)
        self.uploading = volume is not None
        self.progress = None

    def use_engine(self, engine: Engine) -> None:
        """Ask another engine from now on, also for what is waited for."""
        self.engine.stop()
        self.engine = engine
        self.use_volume(self._volume)
        engine.start()
        self.ask_again()

    def ask(self, wanted: Mapping[str, Prompts], *, keep_largest: bool) -> None:
        """Ask for segments, together; in place of what has been asked for the same ones.

        Parameters
        ----------
        wanted
            Prompts by segment.
        keep_largest
            Whether final masks are to be no more than their largest connected parts.
        """
        self._ask({key: Wish(for_model(each), keep_largest) for key, each in wanted.items()})

    def ask_again(self) -> None:
        """Ask once more for everything that is waited for, together what was asked together."""
        together: dict[int, dict[str, Wish]] = {}
        for segment_id, (ticket, wish) in self._pending.items():
            together.setdefault(ticket, {})[segment_id] = wish
        for wishes in together.values():
            self._ask(wishes)

    def forget(self, segment_id: str) -> None:
        """Wait for a segment no longer."""
        if self._pending.pop(segment_id, None) is not None:
            self.engine.cancel(segment_id)
        self._look_whether_done()

    def is_current(self, update: EngineUpdate) -> bool:
        """Whether an update answers what is waited for; takes note of how far things are.

        What is late, of a request that was replaced or cancelled, is not current.
        """
        if update.stage is EngineStage.UPLOAD:
            self.uploading = update.fraction < 1
            self.progress = update.fraction if self.uploading or self._pending else None
            return False
        ticket, _ = self._pending.get(update.segment_id, (0, None))
        if ticket != update.ticket:
            return False
        self.uploading = False
        self.progress = update.fraction
        if update.stage in (EngineStage.FINAL, EngineStage.FAILED):
            del self._pending[update.segment_id]
            self._look_whether_done()
        return True

    def _ask(self, wishes: Mapping[str, Wish]) -> None:
        ticket = self.engine.request(wishes)
        self._pending.update({key: (ticket, wish) for key, wish in wishes.items()})
        self.progress = 0.0

    def _look_whether_done(self) -> None:
        if not self._pending and not self.uploading:
            self.progress = None
