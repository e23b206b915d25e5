"""The vocabulary: what can be asked for by name, and how Slicer names, codes and colours it.

An `Organ` has one correct name for people and one prompt for the model: the spelling that the
published model saw in training, misspelt or not. `find` takes whatever people type or label files
hold ("kidney left", "kidney_left", "Left Kidneys", "lt kidney") to the organ; `free_text` passes
any other text through. The data are in `Resources/organs.json`.

Names that could mean two things
--------------------------------
- *left or right*: "parotid" without a side is an error that offers both. Where the training data
  had a category without a side ("kidney", "kidneys", "lungs", "adrenal glands"), that is found.
- *singular or plural*: "kidney" and "kidneys" are two categories; each is found by its own form.
- *tumor*, *tumour*, *mass*, *cancer*: one organ. The model saw "tumour" for liver and pancreas
  and "tumor" for kidney, so it marks whichever of these the CT shows; "kidney tumor" says which.
- *vena cava*, *intestine*: categories of their own, as labelled in abdominal CT (the inferior vena
  cava, the small intestine). *bowel* is "intestine".
- *prostate*: known to the model only as "prostate or uterus", which is therefore its prompt.
- *larynx*: the whole larynx; the model itself learnt only "glottis" and "supraglottic larynx".
- *L1*: the VerSe data sets called L1 and L2 both "lumbar spine L1"; here that spelling is L1.
"""

import colorsys
import difflib
import json
import re
import zlib
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from segvol_core.errors import OrganError
from segvol_core.organ_words import Key, exact_key, loose_key, split_words, standard_words
from segvol_core.resources import resource_path
from segvol_core.terminology import Code, Terminology

MAX_TEXT_LENGTH = 200
"""Characters of a name: well inside the text encoder's 77 tokens for anything but gibberish."""

SIDES = ("left", "right")
GROUP_UNSEEN = "extra"
GROUP_FREE_TEXT = "free text"

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Organ:
    """Something that can be asked for by name.

    Attributes
    ----------
    name
        The correct name, lower case but for codes such as "L3 vertebra".
    prompt
        What the model is given.
    spellings
        Every spelling that the published model saw for it, the preferred one first; empty if it
        saw none.
    synonyms
        Other names that people type.
    side
        "left", "right", or None for what is single or both.
    group
        A heading for lists, such as "chest"; `GROUP_UNSEEN` for what only our own data hold.
    color
        Red, green, blue, 0 to 255.
    terminology
        None where neither Slicer nor its TotalSegmentator extension has the structure.
    """

    name: str
    prompt: str
    spellings: tuple[str, ...]
    synonyms: tuple[str, ...]
    side: Side | None
    group: str
    color: tuple[int, int, int]
    terminology: Terminology | None

    @property
    def display_name(self) -> str:
        """The name with a capital, as a segment shows it."""
        return self.name[:1].upper() + self.name[1:]

    @property
    def trained(self) -> bool:
        """Whether the published model saw this category by name."""
        return bool(self.spellings)

    def terminology_entry(self) -> str | None:
        """Return the text of Slicer's `TerminologyEntry` tag, None without a terminology."""
        return None if self.terminology is None else self.terminology.entry()

    def spelled(self, spelling: str) -> "Organ":
        """Return the same organ with another of its trained spellings as its prompt.

        Raises
        ------
        OrganError
            If the model never saw that spelling for this organ.
        """
        if spelling not in self.spellings:
            raise OrganError(
                f"The model was not trained on “{spelling}” for {self.name}.", self.spellings
            )
        return replace(self, prompt=spelling)


@cache
def vocabulary() -> tuple[Organ, ...]:
    """Return every organ, by group, in the order of the data file."""
    data = _data()
    return tuple(
        _organ(record, group, data)
        for group, records in data["organs"].items()
        for record in records
    )


def find(name: str) -> Organ:
    """Return the organ that a name means.

    Case, word order, plurals, punctuation, camel case, British or American spelling and the ways
    to write a side do not matter. A form that exists in the vocabulary goes first: "kidneys" is
    not "kidney".

    Raises
    ------
    OrganError
        If no organ is called so, or if it comes left and right and the name does not say which.
        `suggestions` holds names that `find` takes.
    """
    if not standard_words(_checked(name), _word_table()):
        raise OrganError("No organ name was given.")
    # Capitals within a word divide it ("SpinalCord"), unless it is a name without that ("kIDNEY").
    for reading in (name.casefold(), name):
        if organ := _lookup(reading):
            return organ
        pair = [_lookup(f"{reading} {side}") for side in SIDES]
        names = tuple(organ.name for organ in pair if organ is not None and organ.side is not None)
        if len(names) == len(SIDES):
            raise OrganError(f"“{name.strip()}” needs a side: {_either(names)}?", names)
    suggestions = suggest(name)
    hint = f" Did you mean {_either(suggestions)}?" if suggestions else ""
    raise OrganError(
        f"There is no organ called “{name.strip()}” in the vocabulary.{hint}", suggestions
    )


def find_known(name: str) -> Organ | None:
    """Return the organ that a name means as `find` does, None where it would raise an error."""
    try:
        return find(name)
    except OrganError:
        return None


def suggest(name: str, limit: int = 3) -> tuple[str, ...]:
    """Return names of organs for an unfinished, overlong or misspelt name, best first.

    Names that continue what was typed go first, then names that are part of it ("aorta" for
    "ascending aorta"), then names that resemble it. Nothing of the other side is suggested for a
    name that says its side. An empty tuple if nothing is near.
    """
    words = standard_words(_checked(name), _word_table())
    side = next((word for word in words if word in SIDES), None)
    candidates = [*_completions(split_words(name)), *_parts(words), *_look_alikes(words)]
    names = [organ.name for organ in candidates if side is None or organ.side in (None, side)]
    return tuple(dict.fromkeys(names))[:limit]


def parse_names(text: str) -> list[Organ]:
    """Return the organs of a list such as `liver, spleen; left kidney`, each once, in its order.

    Names are separated by commas, semicolons or line ends. What stands in double quotes is free
    text: `liver, "aneurysm of the aorta"`.

    Raises
    ------
    OrganError
        If there is no name in the text; or with one sentence for each name that `find` refuses.
    """
    organs: list[Organ] = []
    errors: list[OrganError] = []
    for quoted, plain in re.findall(r"[\"“”]([^\"“”]*)[\"“”]|([^,;\n\"“”]+)", text):
        if not quoted and not plain.strip():
            continue
        try:
            organs.append(free_text(quoted) if quoted else find(plain))
        except OrganError as error:
            errors.append(error)
    if errors:
        suggestions = [name for error in errors for name in error.suggestions]
        raise OrganError(" ".join(map(str, errors)), tuple(dict.fromkeys(suggestions)))
    if not organs:
        raise OrganError("No organ name was given.")
    return list(dict.fromkeys(organs))


def free_text(text: str) -> Organ:
    """Return an organ that gives the model any text unchanged (but for spaces around it).

    It has no terminology, and a colour of its own that depends on nothing but the text.

    Raises
    ------
    OrganError
        If the text is empty, longer than `MAX_TEXT_LENGTH`, or not printable.
    """
    prompt = _checked(text).strip()
    if not prompt:
        raise OrganError("No text was given.")
    if not prompt.isprintable():
        raise OrganError("The text has line ends or other characters that cannot be printed.")
    hue = zlib.crc32(prompt.casefold().encode()) / 2**32
    red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.6, 0.65))
    return Organ(prompt, prompt, (), (), None, GROUP_FREE_TEXT, (red, green, blue), None)


def _checked(text: str) -> str:
    if len(text) > MAX_TEXT_LENGTH:
        raise OrganError(f"A name may have {MAX_TEXT_LENGTH} characters; this one has {len(text)}.")
    return text


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


# Reading the data file


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(resource_path("organs.json").read_text(encoding="utf-8"))
    return data


def _word_table() -> dict[str, str]:
    table: dict[str, str] = _data()["words"]
    return table


def _organ(record: dict[str, Any], group: str, data: dict[str, Any]) -> Organ:
    spellings = tuple(record.get("spellings", ()))
    red, green, blue = record["color"]
    return Organ(
        name=record["name"],
        prompt=spellings[0] if spellings else record["name"],
        spellings=spellings,
        synonyms=tuple(record.get("synonyms", ())),
        side=record.get("side"),
        group=group,
        color=(red, green, blue),
        terminology=_terminology(record["terminology"], data) if "terminology" in record else None,
    )


def _terminology(record: dict[str, Any], data: dict[str, Any]) -> Terminology:
    modifiers = {name: Code(*code) for name, code in data["modifiers"].items()}
    return Terminology(
        context=data["lists"][record["list"]],
        category=Code(*data["categories"][record["category"]]),
        type=Code("SCT", *record["type"]),
        modifier=modifiers.get(record.get("modifier", "")),
        region_context=data["lists"]["regions"],
        region=Code("SCT", *record["region"]) if "region" in record else None,
        region_modifier=modifiers.get(record.get("region_modifier", "")),
    )


# Matching


def _lookup(name: str) -> Organ | None:
    table = _word_table()
    words = standard_words(name, table)
    exact, loose = _index()
    return exact.get(exact_key(words)) or loose.get(loose_key(words, table))


@cache
def _index() -> tuple[dict[Key, Organ], dict[Key, Organ]]:
    """Organs by the words of their labels as they are, and by the words in the singular.

    Names go before spellings and spellings before synonyms, should two organs share one.
    """
    table = _word_table()
    exact: dict[Key, Organ] = {}
    loose: dict[Key, Organ] = {}
    for label, organ in _labels():
        words = standard_words(label, table)
        exact.setdefault(exact_key(words), organ)
        loose.setdefault(loose_key(words, table), organ)
    return exact, loose


@cache
def _labels() -> tuple[tuple[str, Organ], ...]:
    organs = vocabulary()
    names = [(organ.name, organ) for organ in organs]
    spellings = [(spelling, organ) for organ in organs for spelling in organ.spellings]
    synonyms = [(synonym, organ) for organ in organs for synonym in organ.synonyms]
    return (*names, *spellings, *synonyms)


# Suggestions


def _completions(typed: list[str]) -> list[Organ]:
    """Organs with a label in which every typed word begins a word, those it begins first."""
    hits = []
    for label, organ in _labels():
        words = split_words(label)
        if typed and all(any(word.startswith(part) for word in words) for part in typed):
            begins = " ".join(words).startswith(" ".join(typed))
            hits.append((not begins, label != organ.name, len(label), label, organ))
    return [organ for *_, organ in sorted(hits, key=lambda hit: hit[:4])]


def _parts(words: list[str]) -> list[Organ]:
    """Organs all of whose words were typed, those with most words first."""
    _, loose = _index()
    typed = set(loose_key(words, _word_table()))
    keys = sorted((key for key in loose if typed.issuperset(key)), key=len, reverse=True)
    return [loose[key] for key in keys]


def _look_alikes(words: list[str]) -> list[Organ]:
    """Organs with a label that is spelt much like what was typed, the most alike first."""
    _, loose = _index()
    labels = {" ".join(key): organ for key, organ in loose.items()}
    typed = " ".join(loose_key(words, _word_table()))
    hits = difflib.get_close_matches(typed, labels, n=20, cutoff=0.7)
    return [labels[hit] for hit in hits]
