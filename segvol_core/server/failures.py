"""What a client is told when something is not possible: an HTTP status, a kind and a sentence."""

from __future__ import annotations

from starlette.exceptions import HTTPException

from segvol_core.errors import OrganError, PromptError, SegVolError, VolumeError, WeightsError

_KINDS: dict[type[SegVolError], str] = {
    PromptError: "prompt",
    VolumeError: "volume",
    OrganError: "organ",
    WeightsError: "weights",
}
"""Kinds of the core's own errors, which the client raises again as what they are."""


class Failure(HTTPException):
    """An answer that is no success.

    Parameters
    ----------
    status
        HTTP status.
    kind
        For programs: `token`, `version`, `unknown`, `dropped`, `busy`, `too_large`, `conflict`,
        `checksum`, `malformed`, `fault`, or the kind of an error of the core.
    sentence
        For people. It never repeats what the client sent.
    """

    def __init__(
        self, status: int, kind: str, sentence: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, sentence, headers)
        self.kind = kind
        self.sentence = sentence


def kind_of(error: SegVolError) -> str:
    """Kind of an error of the core."""
    return next((kind for error_type, kind in _KINDS.items() if isinstance(error, error_type)), "")


def failure_of(error: SegVolError) -> Failure:
    """Return the answer that an error of the core becomes."""
    return Failure(422, kind_of(error) or "other", str(error))


def unknown_volume() -> Failure:
    """No such volume: never there, another client's, or from before the server was restarted."""
    return Failure(404, "unknown_volume", "The server does not know this volume: send it again.")


def dropped_volume() -> Failure:
    """A volume that had to make room for others or was not used for long."""
    return Failure(410, "dropped", "The server has dropped this volume: send it again.")


def busy(sentence: str) -> Failure:
    """Something that will be possible later."""
    return Failure(429, "busy", sentence, {"Retry-After": "1"})
