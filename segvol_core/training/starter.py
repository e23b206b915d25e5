"""The recipe of the bundled starter weights: one command, a folder of CTs in, a network out.

``python -m segvol_core.training.starter FOLDER --minutes 90 --window-minutes 40``

First all of the network learns, then the region network alone, which that shows far more prompts.
"""

from __future__ import annotations

import argparse
import collections
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from segvol_core.errors import SegVolError
from segvol_core.model.config import SegVolConfig
from segvol_core.model.segvol import SegVol
from segvol_core.training.cases import TrainingCase, prepare_cases, read_index
from segvol_core.training.initialisation import initialise_from_data
from segvol_core.training.loop import LoopSettings, Progress, train
from segvol_core.training.name_training import ON_NAMES, train_on_names
from segvol_core.training.preparation import digest, saying_how_far
from segvol_core.training.region_training import ON_WINDOWS, train_on_windows
from segvol_core.training.start import begin_from, freeze, taught_names
from segvol_core.training.starter_examples import (
    THE_RECIPE,
    Recipe,
    example_stream,
    named_window_stream,
    prompted_window_stream,
)
from segvol_core.training.starter_network import STARTER
from segvol_core.training.validation import validation_dice
from segvol_core.training.workers import run_in_workers
from segvol_core.weights import load_model, save_model

DRAWN_LABELS = Path(__file__).with_name("drawn")
"""Label maps that were drawn for the starter; README.md there says how."""

_SEEDS_APART = 1_000_003

_log = logging.getLogger("segvol.training")


class _Reporter:
    """Writes log lines, checkpoints and validation at their times."""

    def __init__(
        self,
        output: Path,
        validation: Sequence[TrainingCase],
        minutes: float,
        metadata: dict[str, str],
    ) -> None:
        self._output = output
        self._validation = validation
        self._every = minutes * 60
        self._metadata = dict(metadata)
        self._losses: dict[str, collections.deque[float]] = collections.defaultdict(
            lambda: collections.deque(maxlen=60)
        )
        self._next_line, self._next_checkpoint = 20.0, self._every

    def __call__(self, progress: Progress, average: SegVol) -> None:
        self.line(progress)
        if progress.seconds >= self._next_checkpoint or progress.fraction >= 1:
            self._next_checkpoint = progress.seconds + self._every
            self.checkpoint(progress, average)

    def line(self, progress: Progress) -> None:
        begins = progress.step == 1
        if begins:
            self._losses.clear()
        for kind, loss in progress.losses.items():
            self._losses[kind].append(loss)
        if begins or progress.seconds >= self._next_line:
            self._next_line = progress.seconds + 20.0
            losses = " ".join(
                f"{kind} {np.mean(values):.3f}" for kind, values in sorted(self._losses.items())
            )
            _log.info(
                "%3.0f %% | step %d | %.1f min | rate %.1e | %s",
                100 * progress.fraction, progress.step, progress.seconds / 60,
                progress.learning_rate, losses,
            )  # fmt: skip

    def checkpoint(self, progress: Progress, average: SegVol, stage: str = "") -> None:
        self._metadata[f"{stage}steps"] = str(progress.step)
        self._metadata[f"{stage}training_minutes"] = f"{progress.seconds / 60:.1f}"
        save_model(average, self._output, self._metadata, half=True)
        _log.info("saved %s", self._output)
        for kind, structures in validation_dice(average, self._validation).items():
            figures = " ".join(f"{name} {value:.2f}" for name, value in structures.items())
            mean = float(np.mean(list(structures.values()))) if structures else float("nan")
            _log.info("validation Dice, %s: mean %.3f | %s", kind, mean, figures)


def train_starter(
    folder: Path,
    output: Path,
    settings: LoopSettings | None,
    window_settings: LoopSettings | None = None,
    name_settings: LoopSettings | None = None,
    *,
    drawn_labels: Path = DRAWN_LABELS,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 1,
    cache: Path | None = None,
    start: Path | None = None,
    frozen: Sequence[str] = (),
    config: SegVolConfig = STARTER,
    recipe: Recipe = THE_RECIPE,
    checkpoint_minutes: float = 5.0,
) -> SegVol:
    """Train the starter and write it, a first time after ``checkpoint_minutes``.

    Parameters
    ----------
    folder
        CTs with an ``index.json``.
    settings, window_settings, name_settings
        Of the training of the whole, and after it of the region network and of the name network
        alone; each may be left out.
    drawn_labels
        Further labels, with an ``index.json`` of their own, for those CTs that ``folder`` has.
    start
        Weights to go on from.
    frozen
        Parts of the network that stay as they are.

    Raises
    ------
    TrainingDataError
        If the folder is not a training folder.
    WeightsError
        If ``output`` cannot be written or ``start`` cannot be read.
    SettingsError
        If the network has no such part to freeze.
    """
    drawn = read_index(drawn_labels, images=folder)
    records = read_index(folder) + drawn
    _log.info("%d CTs, and %d with drawn labels", len(records) - len(drawn), len(drawn))
    torch.manual_seed(seed)
    config = replace(config, trained_names=taught_names(records))
    model = SegVol(config)
    if start is not None:
        begin_from(model, load_model(start))
    output.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    if cache is not None:
        cache /= digest(records, config)
    cases = list(saying_how_far(prepare_cases(records, config, cache), len(records)))
    _log.info("preparation took %.0f s", time.monotonic() - started)
    training = [case for case in cases if case.split != "validation"]
    validation = [case for case in cases if case.split == "validation"][:5]
    if start is None:
        images = [case.image for case in training]
        initialise_from_data(model, images, np.random.default_rng(seed))
    freeze(model, frozen)
    model = model.to(device)
    reporter = _Reporter(
        output, validation, checkpoint_minutes, {"name": "starter", "seed": str(seed)}
    )
    trained: list[SegVol] = []

    def work(rank: int) -> None:
        trained.append(
            _one_after_the_other(
                model,
                training,
                (settings, window_settings, name_settings),
                recipe,
                seed + _SEEDS_APART * rank,
                reporter=reporter if rank == 0 else None,
            )
        )

    # Each worker has one core: sums over threads have no fixed order, so seeds would not repeat.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run_in_workers(workers, work)
    finally:
        torch.set_num_threads(threads)
    return trained[0]


def _one_after_the_other(
    model: SegVol,
    cases: Sequence[TrainingCase],
    lengths: tuple[LoopSettings | None, LoopSettings | None, LoopSettings | None],
    recipe: Recipe,
    seed: int,
    *,
    reporter: _Reporter | None,
) -> SegVol:
    """Train the whole, the region network and the name network, each if it has a length."""
    whole, regions, names = lengths
    line = _say_nothing if reporter is None else reporter.line
    if whole is not None:
        examples = example_stream(cases, model.config, recipe, seed)
        model = train(model, examples, whole, _say_nothing if reporter is None else reporter)
    if regions is not None:
        windows = prompted_window_stream(cases, model.config, recipe, seed)
        last = train_on_windows(model, windows, regions, line)
        if reporter is not None:
            reporter.checkpoint(last, model, "region_network_")
    if names is not None:
        last = train_on_names(model, named_window_stream(cases, recipe, seed), names, line)
        if reporter is not None:
            reporter.checkpoint(last, model, "name_network_")
    return model


def _say_nothing(progress: Progress, average: SegVol | None = None) -> None:
    """Only the first worker reports."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m segvol_core.training.starter", description="Train the starter weights."
    )
    parser.add_argument("folder", type=Path, help="CTs with an index.json")
    parser.add_argument("--output", type=Path, default=Path("Resources/starter.safetensors"))
    parser.add_argument("--minutes", type=float, help="time spent in training steps")
    parser.add_argument("--steps", type=int, help="number of training steps")
    parser.add_argument(
        "--window-minutes", type=float, help="after that, for the region network alone"
    )
    parser.add_argument("--window-steps", type=int, help="after that, for the region network alone")
    parser.add_argument("--name-minutes", type=float, help="at last, for the name network alone")
    parser.add_argument("--name-steps", type=int, help="at last, for the name network alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=2, help="processes, one CPU core each")
    parser.add_argument(
        "--cache", type=Path, help="folder that keeps prepared cases for the next time"
    )
    parser.add_argument("--start", type=Path, help="weights to continue from")
    parser.add_argument(
        "--freeze", nargs="*", default=[], metavar="PART", help="parts that stay as they are"
    )
    parser.add_argument("--learning-rate", type=float, default=LoopSettings(steps=1).learning_rate)
    parser.add_argument("--checkpoint-minutes", type=float, default=5.0)
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout
    )
    settings, window_settings, name_settings = None, None, None
    if options.steps is not None or options.minutes is not None:
        settings = LoopSettings(
            steps=options.steps, minutes=options.minutes, learning_rate=options.learning_rate
        )
    if options.window_steps is not None or options.window_minutes is not None:
        window_settings = replace(
            ON_WINDOWS, steps=options.window_steps, minutes=options.window_minutes
        )
    if options.name_steps is not None or options.name_minutes is not None:
        name_settings = replace(ON_NAMES, steps=options.name_steps, minutes=options.name_minutes)
    if settings is None and window_settings is None and name_settings is None:
        parser.error("give --minutes or --steps, of the whole, the region or the name network")
    # Weights near zero would else be computed in the processor's slow mode.
    torch.set_flush_denormal(True)
    try:
        train_starter(
            options.folder, options.output, settings, window_settings, name_settings,
            seed=options.seed, device=options.device,
            workers=options.workers, cache=options.cache, start=options.start,
            frozen=options.freeze, checkpoint_minutes=options.checkpoint_minutes,
        )  # fmt: skip
    except SegVolError as error:
        _log.error("%s", error)
        return 1
    finally:
        torch.set_flush_denormal(False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
