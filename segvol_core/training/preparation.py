"""Cases and network of a training, before its first step."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from segvol_core.model.config import SegVolConfig
from segvol_core.model.segvol import SegVol
from segvol_core.training.cases import TrainingCase, prepare_cases
from segvol_core.training.data.layouts import read_records
from segvol_core.training.data.records import VALIDATION, CaseRecord, TrainingDataError
from segvol_core.training.run_settings import DataSettings, SettingsError
from segvol_core.training.settings import TrainingSettings
from segvol_core.training.start import begin_from_images, network_to_train, starts_anew
from segvol_core.training.team import Member, told_by_the_leader

PreparedT = TypeVar("PreparedT")
Reader = Callable[[Path, float | Sequence[str]], list[CaseRecord]]
Preparer = Callable[[Sequence[CaseRecord], SegVolConfig, Path | None], Iterator[PreparedT]]

_SECONDS_BETWEEN_LINES = 15.0

_log = logging.getLogger("segvol.training")


@dataclass(frozen=True)
class Training:
    """What all processes of a training have in common."""

    settings: TrainingSettings
    records: Sequence[CaseRecord]
    cases: Sequence[TrainingCase]
    model: SegVol


def records_of(data: DataSettings, read: Reader = read_records) -> list[CaseRecord]:
    """Cases of all training folders, or those that are wanted.

    Parameters
    ----------
    read
        Reads the cases of one of them, with names for validation, or a share of the cases.

    Raises
    ------
    TrainingDataError
        If a folder cannot be read, or two cases have one name.
    SettingsError
        If a case that is wanted by its name is in no folder.
    """
    validation = data.validation
    if isinstance(validation, float):
        records = [record for folder in data.folders for record in read(folder, validation)]
    else:
        records = _with_named_validation(data.folders, validation, read)
    names = [record.name for record in records]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TrainingDataError(f"Two of the folders have a case of the name {twice}.")
    return _wanted(records, data.cases) if data.cases else records


def prepare_training(settings: TrainingSettings, member: Member) -> Training:
    """Read and prepare all cases, and build the network.

    Raises
    ------
    SegVolError
        If settings, data or weights cannot be used.
    """
    records = records_of(settings.data)
    model = network_to_train(settings, records)
    cache = settings.data.cache
    if cache is not None:
        cache /= digest(records, model.config)
    cases = prepare_all(prepare_cases, records, model.config, cache, member)
    if starts_anew(settings):
        images = [case.image for case in cases if case.split != VALIDATION]
        begin_from_images(model, images, settings.seed, keep_encoder=settings.start is not None)
    return Training(settings, records, cases, model)


def prepare_all(
    prepare: Preparer[PreparedT],
    records: Sequence[CaseRecord],
    config: SegVolConfig,
    cache: Path | None,
    member: Member,
) -> list[PreparedT]:
    """Prepare all cases in each process of a team, and say how far it is.

    Where they are kept in a folder, the leader fills it and the others read it.
    """

    def fill() -> None:
        for _ in saying_how_far(prepare(records, config, cache), len(records)):
            pass

    if cache is not None:
        told_by_the_leader(member, fill)
        return list(prepare(records, config, cache))
    prepared = prepare(records, config, cache)
    return list(saying_how_far(prepared, len(records)) if member.leads else prepared)


def saying_how_far(prepared: Iterable[PreparedT], cases: int) -> Iterator[PreparedT]:
    """Pass on what is prepared, with a line in the log now and then and at the end."""
    last_line = time.monotonic()
    for number, each in enumerate(prepared, 1):
        yield each
        if number == cases or time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
            last_line = time.monotonic()
            _log.info("prepared %d of %d cases", number, cases)


def _with_named_validation(
    folders: Sequence[Path], validation: Sequence[str], read: Reader
) -> list[CaseRecord]:
    wanted, records = set(validation), []
    for folder in folders:
        here = {record.name for record in read(folder, 0.0)} & wanted
        records += read(folder, tuple(here))
    missing = sorted(wanted - {record.name for record in records})
    if missing:
        raise SettingsError(f"“validation” names {missing[0]}, and no folder has such a case.")
    return records


def _wanted(records: Sequence[CaseRecord], patterns: Sequence[str]) -> list[CaseRecord]:
    """Those for training whose names fit a pattern, and all for validation."""
    for_training = [record.name for record in records if record.split != VALIDATION]
    fitting: set[str] = set()
    for pattern in patterns:
        found = fnmatch.filter(for_training, pattern)
        if not found:
            raise SettingsError(f"“cases” asks for {pattern}, and no case to train on fits that.")
        fitting.update(found)
    return [record for record in records if record.split == VALIDATION or record.name in fitting]


def digest(records: Sequence[CaseRecord], config: SegVolConfig) -> str:
    """Short text that changes with the cases, their files, and how a network wants them."""
    seen = [
        [record.name, record.split, sorted(record.structures), str(path), *_stamp(path)]
        for record in records
        for path in record.files
    ]
    wants = [config.window, config.spacing_mm, config.hounsfield_levels]
    return hashlib.sha256(json.dumps([seen, wants]).encode()).hexdigest()[:16]


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
