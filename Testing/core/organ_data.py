"""Names and codes that the vocabulary is held against; Testing/data/README.md says whence."""

import json
from pathlib import Path

from segvol_core.organs import Organ, vocabulary

DATA = Path(__file__).parents[1] / "data"
NAMES = json.loads((DATA / "organ_names.json").read_text(encoding="utf-8"))
SLICER = json.loads((DATA / "slicer_terminology.json").read_text(encoding="utf-8"))
TRAINED = sorted({name for names in NAMES["trained"].values() for name in names})
SIDED = [organ for organ in vocabulary() if organ.side]
OWN_LISTS = [name for name in SLICER["lists"] if "Total Segmentator" not in name]


def labels_of(organ: Organ) -> tuple[str, ...]:
    return (organ.name, *organ.spellings, *organ.synonyms)
