"""The recipe of the bundled starter weights: one command, a folder of CTs in, a network out.

``python -m segvol_core.training.starter FOLDER --output starter.safetensors --minutes 70``
"""

from __future__ import annotations

import argparse
import collections
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from segvol_core.errors import SegVolError
from segvol_core.model.config import SegVolConfig
from segvol_core.model.segvol import SegVol
from segvol_core.training.augmentation import Strength
from segvol_core.training.cases import TrainingCase, prepare_cases, read_index
from segvol_core.training.examples import Example, ExampleSource
from segvol_core.training.initialisation import initialise_from_data
from segvol_core.training.loop import LoopSettings, Progress, train
from segvol_core.training.start import begin_from, freeze, taught_names
from segvol_core.training.starter_network import STARTER
from segvol_core.training.validation import zoom_out_dice
from segvol_core.training.workers import run_in_workers
from segvol_core.weights import load_model, save_model

_MANY_STRUCTURES = 20
_SEEDS_APART = 1_000_003
_HEAD_AND_NECK = "OpenKBP"
_NOT_IN_A_HEAD = (
    "liver", "spleen", "kidney_left", "kidney_right", "stomach", "pancreas", "gallbladder",
    "urinary_bladder", "hip_left", "hip_right", "femur_left", "femur_right", "vertebrae_L3",
)  # fmt: skip
_NOT_IN_A_TRUNK = ("Brainstem", "Mandible", "LeftParotid", "RightParotid")

_log = logging.getLogger("segvol.training")


@dataclass(frozen=True)
class Recipe:
    """What the starter is trained on, and how often each kind of case is seen.

    Attributes
    ----------
    many_structures, some_structures, one_structure, none
        Shares of examples from cases with so many annotated structures.
    volumes, batches, masks
        Volumes per step and worker, kinds of prompts per volume, masks per kind: a mask costs more
        than its window, and masks of other windows teach more.
    """

    many_structures: float = 0.40
    some_structures: float = 0.34
    one_structure: float = 0.06
    none: float = 0.20
    volumes: int = 3
    batches: int = 1
    masks: int = 4
    labelled: Strength = field(default_factory=lambda: Strength(flips=(0.08, 0.08, 0.35)))
    head_and_neck: Strength = field(default_factory=lambda: Strength(scale=1.25, flips=(0, 0, 0.5)))
    other: Strength = field(default_factory=lambda: Strength(flips=(0.1, 0.1, 0.5)))


def example_stream(
    cases: Sequence[TrainingCase], config: SegVolConfig, recipe: Recipe, seed: int
) -> Iterator[list[Example]]:
    """Endless examples, one per step, drawn from cases in the recipe's shares."""
    rng = np.random.default_rng(seed)
    sources = [_source(case, config) for case in cases]
    shares = _shares(cases, recipe)
    while True:
        chosen = rng.choice(len(cases), size=recipe.volumes, p=shares)
        yield [
            sources[index].draw(
                rng,
                batches=recipe.batches,
                masks=recipe.masks,
                strength=_strength(cases[index], recipe),
            )
            for index in chosen
        ]


def _shares(cases: Sequence[TrainingCase], recipe: Recipe) -> npt.NDArray[np.float64]:
    weights: dict[str, list[float]] = collections.defaultdict(lambda: [0.0] * len(cases))
    share_of = {
        "many": recipe.many_structures,
        "some": recipe.some_structures,
        "one": recipe.one_structure,
        "none": recipe.none,
    }
    for index, case in enumerate(cases):
        count = len(case.label_values)
        if count >= _MANY_STRUCTURES:
            # A thin slab shows the same window again and again.
            weights["many"][index] = float(case.image.shape[0] * count)
        elif count > 1:
            weights["some"][index] = 1.0
        else:
            weights["one" if count else "none"][index] = 1.0
    total = np.zeros(len(cases))
    for group, values in weights.items():
        total += share_of[group] * np.array(values) / sum(values)
    shares: npt.NDArray[np.float64] = total / total.sum()
    return shares


def _source(case: TrainingCase, config: SegVolConfig) -> ExampleSource:
    head = case.dataset.startswith(_HEAD_AND_NECK)
    trunk = len(case.label_values) >= _MANY_STRUCTURES
    foreign: tuple[str, ...] = ()
    if head or trunk:
        foreign = _NOT_IN_A_HEAD if head else _NOT_IN_A_TRUNK
    return ExampleSource(
        case,
        config.window,
        mirror_names=head,
        text_weight=6.0 if head else 1.5,
        foreign_names=foreign,
    )


def _strength(case: TrainingCase, recipe: Recipe) -> Strength:
    if case.dataset.startswith(_HEAD_AND_NECK):
        return recipe.head_and_neck
    return recipe.labelled if case.label_values else recipe.other


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
        self._metadata = metadata
        self._losses: dict[str, collections.deque[float]] = collections.defaultdict(
            lambda: collections.deque(maxlen=60)
        )
        self._next_line, self._next_checkpoint = 20.0, self._every

    def __call__(self, progress: Progress, average: SegVol) -> None:
        for kind, loss in progress.losses.items():
            self._losses[kind].append(loss)
        if progress.seconds >= self._next_line:
            self._next_line = progress.seconds + 20.0
            losses = " ".join(
                f"{kind} {np.mean(values):.3f}" for kind, values in sorted(self._losses.items())
            )
            _log.info(
                "%3.0f %% | step %d | %.1f min | rate %.1e | %s",
                100 * progress.fraction, progress.step, progress.seconds / 60,
                progress.learning_rate, losses,
            )  # fmt: skip
        if progress.seconds >= self._next_checkpoint or progress.fraction >= 1:
            self._next_checkpoint = progress.seconds + self._every
            self.checkpoint(progress, average)

    def checkpoint(self, progress: Progress, average: SegVol) -> None:
        metadata = {
            **self._metadata,
            "steps": str(progress.step),
            "training_minutes": f"{progress.seconds / 60:.1f}",
        }
        save_model(average, self._output, metadata, half=True)
        _log.info("saved %s", self._output)
        for kind, structures in zoom_out_dice(average, self._validation).items():
            figures = " ".join(f"{name} {value:.2f}" for name, value in structures.items())
            mean = float(np.mean(list(structures.values()))) if structures else float("nan")
            _log.info("zoom-out Dice, %s: mean %.3f | %s", kind, mean, figures)


def train_starter(
    folder: Path,
    output: Path,
    settings: LoopSettings,
    *,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 1,
    cache: Path | None = None,
    start: Path | None = None,
    frozen: Sequence[str] = (),
    config: SegVolConfig = STARTER,
    recipe: Recipe = Recipe(),
    checkpoint_minutes: float = 5.0,
) -> SegVol:
    """Train the starter and write it, a first time after ``checkpoint_minutes``.

    Parameters
    ----------
    folder
        CTs with an ``index.json``.
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
    records = read_index(folder)
    torch.manual_seed(seed)
    config = replace(config, trained_names=taught_names(records))
    model = SegVol(config)
    if start is not None:
        begin_from(model, load_model(start))
    output.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    cases = []
    for case in prepare_cases(records, config, cache):
        cases.append(case)
        if len(cases) % 20 == 0 or len(cases) == len(records):
            _log.info("prepared %d of %d cases", len(cases), len(records))
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
        stream = example_stream(training, config, recipe, seed + _SEEDS_APART * rank)
        trained.append(train(model, stream, settings, reporter if rank == 0 else _say_nothing))

    # Each worker has one core: sums over threads have no fixed order, so seeds would not repeat.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run_in_workers(workers, work)
    finally:
        torch.set_num_threads(threads)
    return trained[0]


def _say_nothing(progress: Progress, average: SegVol) -> None:
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
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=2, help="processes, one CPU core each")
    parser.add_argument(
        "--cache", type=Path, help="folder that keeps prepared cases; one per spacing"
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
    if options.steps is None and options.minutes is None:
        parser.error("give --minutes or --steps")
    settings = LoopSettings(
        steps=options.steps, minutes=options.minutes, learning_rate=options.learning_rate
    )
    # Weights near zero would else be computed in the processor's slow mode.
    torch.set_flush_denormal(True)
    try:
        train_starter(
            options.folder, options.output, settings, seed=options.seed, device=options.device,
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
