"""What is said to the panel or the script that listens."""

from __future__ import annotations

from SegVolLogic.events import Event, Listener, Said


class Announcements:
    """Tells a listener of events, and of one complaint only once.

    Attributes
    ----------
    complaint
        What is in the way, until something else happens; or empty.
    """

    def __init__(self, listener: Listener | None) -> None:
        self.complaint = ""
        self._listener = listener

    def tell(self, event: Event) -> None:
        """Tell of an event."""
        if self._listener is not None:
            self._listener(event)

    def say(self, message: str) -> None:
        """Say something that the user should read; what was in the way is so no more."""
        self.complaint = ""
        self.tell(Said(message, problem=False))

    def complain(self, message: str) -> None:
        """Say what is in the way, unless that was said last."""
        if message != self.complaint:
            self.complaint = message
            self.tell(Said(message, problem=True))
