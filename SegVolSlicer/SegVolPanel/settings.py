"""What is remembered from one session of Slicer to the next, in Slicer's own settings."""

import qt


class Settings:
    """Values under ``SegVol/`` in the application's settings file, which has text only."""

    def text(self, name: str, default: str = "") -> str:
        """Text that was stored, or the default."""
        value = qt.QSettings().value(f"SegVol/{name}")
        return default if value is None else str(value)

    def flag(self, name: str, default: bool) -> bool:
        """Truth value that was stored, or the default."""
        return self.text(name, str(default)).lower() == "true"

    def number(self, name: str, default: int) -> int:
        """Whole number that was stored, or the default; also where there is something else."""
        text = self.text(name)
        return int(text) if text.isdecimal() else default

    def store(self, name: str, value: str | bool | int) -> None:
        """Remember a value."""
        qt.QSettings().setValue(f"SegVol/{name}", str(value))

    def forget(self, name: str) -> None:
        """Remember a value no more."""
        qt.QSettings().remove(f"SegVol/{name}")
