"""Whether an exception says that memory does not suffice: of the computer, or of its GPU."""

from __future__ import annotations

_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
"""What PyTorch says of CUDA and Apple's GPU, and of the CPU on Linux and macOS and on Windows."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was missing; PyTorch says so of the CPU in a plain `RuntimeError`."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, (RuntimeError, OSError)):
        return False
    said = f"{type(error).__name__} {error}".lower()
    return "outofmemory" in said or any(words in said for words in _WORDS)
