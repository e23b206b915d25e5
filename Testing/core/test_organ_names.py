"""What people type becomes the organ they mean."""

import json
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from organ_data import SIDED, labels_of

from segvol_core.errors import OrganError
from segvol_core.organ_words import loose_key, standard_words
from segvol_core.organs import (
    MAX_TEXT_LENGTH,
    find,
    find_known,
    suggest,
    vocabulary,
)
from segvol_core.resources import resource_path


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("kidney left", "left kidney"),
        ("Left Kidneys", "left kidney"),
        ("lt kidney", "left kidney"),
        ("l. kidney", "left kidney"),
        ("KIDNEY, LEFT", "left kidney"),
        ("kIDNEY lEFT", "left kidney"),
        ("KidneyLeft", "left kidney"),
        ("  the  left-kidney ", "left kidney"),
        ("IVC", "inferior vena cava"),
        ("SVC", "superior vena cava"),
        ("L3", "L3 vertebra"),
        ("L 3", "L3 vertebra"),
        ("l3 vertebrae", "L3 vertebra"),
        ("third lumbar vertebra", "L3 vertebra"),
        ("lumbar vertebra 3", "L3 vertebra"),
        ("Th12", "T12 vertebra"),
        ("D5", "T5 vertebra"),
        ("atlas", "C1 vertebra"),
        ("7th left rib", "left rib 7"),
        ("seventh rib, right", "right rib 7"),
        ("rib L 3", "left rib 3"),
        ("rib_r_11", "right rib 11"),
        ("rib7 left", "left rib 7"),
        ("Gall Bladder", "gallbladder"),
        ("oesophagus", "esophagus"),
        ("brain stem", "brainstem"),
        ("upper lobe of the left lung", "left upper lung lobe"),
        ("RML", "right middle lung lobe"),
        ("middle lobe", "right middle lung lobe"),
        ("right collarbone", "right clavicle"),
        ("left shoulder blade", "left scapula"),
        ("right suprarenal gland", "right adrenal gland"),
        ("hepatic tumours", "liver tumor"),
        ("renal cysts", "kidney cyst"),
        ("femur head left", "left femoral head"),
        ("left atrium of the heart", "left atrium"),
        ("Glnd_Submand_L", "left submandibular gland"),
        ("OpticNrv_R", "right optic nerve"),
        ("Eye_AL", "left anterior eyeball"),
        ("gallstones", "stones"),
        ("pelvic bone right", "right hip bone"),
        ("left psoas muscle", "left iliopsoas muscle"),
    ],
)
def test_synonyms_are_found(typed, name):
    assert find(typed).name == name


@pytest.mark.parametrize(
    ("typed", "prompt"),
    [
        ("kidney", "kidney"),
        ("kidneys", "kidneys"),
        ("both kidneys", "kidneys"),
        ("lung", "lungs"),
        ("adrenals", "adrenal"),
        ("tumor", "tumour"),
        ("tumour", "tumour"),
        ("cancer", "tumour"),
        ("kidney tumour", "kidney tumor"),
        ("vena cava", "vena cava"),
        ("bowel", "intestine"),
        ("prostate", "prostate or uterus"),
        ("prostate or uterus", "prostate or uterus"),
        ("uterus", "uterus"),
        ("larynx", "larynx"),
    ],
)
def test_names_that_could_mean_two_things_are_settled_as_documented(typed, prompt):
    assert find(typed).prompt == prompt


def test_a_prostate_is_coded_as_a_prostate():
    assert find("prostate").name == "prostate"
    assert "Prostate" in str(find("prostate").terminology_entry())
    assert find("prostate or uterus").terminology_entry() is None


@pytest.mark.parametrize("typed", ["parotid", "Parotids", "rib 7", "hip", "upper lobe", "psoas"])
def test_a_paired_organ_without_a_side_asks_for_the_side(typed):
    with pytest.raises(OrganError, match=r"needs a side: left .* or right") as caught:
        find(typed)
    assert [find(name).side for name in caught.value.suggestions] == ["left", "right"]


def test_two_organs_share_no_label_but_those_documented():
    table = json.loads(resource_path("organs.json").read_text(encoding="utf-8"))["words"]
    owners = defaultdict(set)
    for organ in vocabulary():
        for label in labels_of(organ):
            owners[loose_key(standard_words(label, table), table)].add(organ.name)
    shared = {frozenset(names) for names in owners.values() if len(names) > 1}
    assert shared == {
        frozenset({"kidney", "kidneys"}),
        frozenset({"prostate", "prostate or uterus"}),
    }


@pytest.mark.parametrize("organ", vocabulary(), ids=lambda organ: organ.name)
def test_every_label_of_an_organ_finds_it(organ):
    labels = [label for label in labels_of(organ) if label != "prostate or uterus"]
    assert {find(label).name for label in labels} <= {organ.name}
    assert find(organ.display_name) is organ


def plural(word: str) -> str:
    if word.endswith("y"):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x")) else "s")


@given(
    organ=st.sampled_from(SIDED),
    shuffle=st.randoms(use_true_random=False),
    case=st.sampled_from([str.lower, str.upper, str.title, str.swapcase]),
    separator=st.sampled_from([" ", "_", "-", ", ", "  "]),
    make_plural=st.booleans(),
)
def test_a_sided_name_is_found_in_any_case_order_and_number(
    organ, shuffle, case, separator, make_plural
):
    side = shuffle.choice([organ.side, organ.side[0] + "t"])
    words = [word for word in organ.name.split() if word != organ.side]
    if make_plural:
        words = [word if word.isdigit() or word == "muscles" else plural(word) for word in words]
    words.append(side)
    shuffle.shuffle(words)
    assert find(case(separator.join(words))) is organ


@given(organ=st.sampled_from(SIDED), position=st.integers(0, 40), letter=st.sampled_from("aeknx"))
def test_a_slip_of_the_finger_never_suggests_the_other_side(organ, position, letter):
    rest = organ.name.removeprefix(f"{organ.side} ")
    position %= len(rest) + 1
    typed = f"{organ.side} {rest[:position]}{letter}{rest[position:]}"
    assert all(find(name).side in (organ.side, None) for name in suggest(typed, 10))


@given(st.text(max_size=MAX_TEXT_LENGTH))
def test_any_text_is_found_or_refused_with_names_that_exist(text):
    try:
        names = (find(text).name,)
    except OrganError as error:
        names = error.suggestions
    assert all(find(name).name == name for name in names)


def test_a_name_that_may_be_unknown_is_no_error():
    assert find_known("Left Kidneys") is find("left kidney")
    assert find_known("ptv56") is find_known("parotid") is find_known("") is None
