"""Organs have the codes and colours that Slicer gives them."""

import pytest
from organ_data import OWN_LISTS, SIDED, SLICER
from slicerio.segmentation import terminology_entry_from_string, terminology_entry_to_string

from segvol_core.organs import (
    Organ,
    find,
    vocabulary,
)


def slicer_color(organ: Organ) -> list[int] | None:
    """The colour Slicer recommends for the organ's codes, or for either side of them."""
    code = organ.terminology
    if code is None or code.context not in OWN_LISTS:
        return None
    rows = [
        row
        for name in OWN_LISTS
        for row in SLICER["lists"][name]
        if row["type"][1] == code.type.value
    ]
    sides = {"Left", "Right"}
    wanted = sides if code.modifier is None else {code.modifier.meaning}
    if wanted == {"Right and left"}:
        wanted = sides
    plain = [row["color"] for row in rows if row["modifier"] is None]
    sided = [row["color"] for row in rows if row["modifier"] and row["modifier"][2] in wanted]
    return next(filter(None, sided + plain if code.modifier else plain + sided), None)


@pytest.mark.parametrize(
    "organ", [organ for organ in vocabulary() if organ.terminology], ids=lambda organ: organ.name
)
def test_the_codes_are_in_the_list_they_are_said_to_be_from(organ):
    code = organ.terminology
    wanted = [
        [item.scheme, item.value, item.meaning] if item else None
        for item in (code.category, code.type, code.modifier)
    ]
    rows = SLICER["lists"][code.context]
    assert wanted in [[row["category"], row["type"], row["modifier"]] for row in rows]
    if code.region is not None:
        region = [code.region.scheme, code.region.value, code.region.meaning]
        modifier = code.region_modifier
        side = modifier and [modifier.scheme, modifier.value, modifier.meaning]
        rows = SLICER["regions"][code.region_context]
        assert [region, side] in [[row["region"], row["modifier"]] for row in rows]


def test_slicers_own_lists_go_before_that_of_an_extension():
    (extension,) = set(SLICER["lists"]) - set(OWN_LISTS)
    own_types = {row["type"][1] for name in OWN_LISTS for row in SLICER["lists"][name]}
    for organ in vocabulary():
        if organ.terminology and organ.terminology.context == extension:
            assert organ.terminology.type.value not in own_types


@pytest.mark.parametrize("organ", SIDED, ids=lambda organ: organ.name)
def test_the_codes_say_no_other_side_than_the_name(organ):
    code = organ.terminology
    modifiers = [code.modifier, code.region_modifier] if code else []
    assert {modifier.meaning.lower() for modifier in modifiers if modifier} <= {organ.side}
    assert organ.side in organ.name


def test_these_structures_slicer_lacks():
    lacking = {organ.name.removeprefix("left ") for organ in vocabulary() if not organ.terminology}
    assert {name for name in lacking if not name.startswith("right ")} == {
        "anterior eyeball",
        "posterior eyeball",
        "lacrimal gland",
        "optic nerve",
        "cochlea",
        "femoral head",
        "buccal mucosa",
        "glottis",
        "supraglottic larynx",
        "cricopharyngeal inlet",
        "cervical esophagus",
        "intestine",
        "prostate or uterus",
        "vena cava",
        "metastasectomy",
        "metal",
        "stones",
    }


GENERIC = {"arytenoid cartilages", "carpal bones"}  # coded as cartilage and as bone of a region


@pytest.mark.parametrize("organ", vocabulary(), ids=lambda organ: organ.name)
def test_colours_are_slicers_or_else_like_no_other(organ):
    assert all(0 <= part <= 255 for part in organ.color)
    recommended = None if organ.name in GENERIC else slicer_color(organ)
    if recommended is None:
        assert [other.name for other in vocabulary() if other.color == organ.color] == [organ.name]
    else:
        assert list(organ.color) == recommended


def test_the_terminology_entry_is_written_as_slicer_writes_it():
    assert find("left kidney").terminology_entry() == (
        "Segmentation category and type - 3D Slicer General Anatomy list"
        "~SCT^123037004^Anatomical Structure~SCT^64033007^Kidney~SCT^7771000^Left"
        "~Anatomic codes - DICOM master list~^^~^^"
    )
    assert find("left adrenal tumor").terminology_entry() == (
        "Segmentation category and type - DICOM master list"
        "~SCT^49755003^Morphologically Altered Structure~SCT^108369006^Neoplasm~^^"
        "~Anatomic codes - DICOM master list~SCT^23451007^Adrenal gland~SCT^7771000^Left"
    )
    assert find("metal").terminology_entry() is None


def test_slicerio_reads_every_terminology_entry():
    for organ in vocabulary():
        if entry := organ.terminology_entry():
            assert terminology_entry_to_string(terminology_entry_from_string(entry)) == entry
