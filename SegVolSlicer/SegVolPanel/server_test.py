"""Asking a server whether it takes this client, in a thread, so that nothing waits for it."""

import queue
import threading
import time

from slicer.i18n import tr as _

from segvol_core.connection import Connection
from segvol_core.errors import SegVolError
from SegVolPanel.engine_choice import EngineChoice

_YIELD_SECONDS = 0.0005
"""In Slicer a thread runs only when the main one lets it."""


class ServerTest:
    """One question to one server at a time."""

    def __init__(self) -> None:
        self._answers: queue.SimpleQueue[str] | None = None

    @property
    def running(self) -> bool:
        """Whether an answer is waited for."""
        return self._answers is not None

    def start(self, choice: EngineChoice) -> None:
        """Ask; an earlier question is forgotten."""
        self._answers = answers = queue.SimpleQueue()
        thread = threading.Thread(
            target=lambda: answers.put(_answer(choice)), name="SegVol server test", daemon=True
        )
        thread.start()

    def poll(self) -> str | None:
        """Return the answer for the user, once; None while there is none."""
        if self._answers is None:
            return None
        time.sleep(_YIELD_SECONDS)
        try:
            answer = self._answers.get_nowait()
        except queue.Empty:
            return None
        self._answers = None
        return answer

    def forget(self) -> None:
        """Wait no more."""
        self._answers = None


def _answer(choice: EngineChoice) -> str:
    try:
        connection = Connection(
            choice.url.strip(), choice.token.strip(), ca_file=choice.certificate or None
        )
        try:
            health = connection.health()
            models = connection.models()
        finally:
            connection.close()
    except (SegVolError, OSError) as error:  # the latter from a certificate that is no file
        return str(error)
    names = ", ".join(str(model.get("name")) for model in models)
    return _("It works: SegVol {version} on {device}, weights: {names}.").format(
        version=health.get("version", "?"), device=health.get("device", "?"), names=names
    )
