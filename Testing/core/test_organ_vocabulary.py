"""The vocabulary has every name of the published model and every label of our data."""

import json
import re
from collections import Counter, defaultdict

import pytest
from organ_data import NAMES, TRAINED
from yardstick import import_cost, python

from segvol_core.errors import OrganError
from segvol_core.organs import (
    GROUP_UNSEEN,
    find,
    vocabulary,
)
from segvol_core.resources import resource_path


def test_there_are_222_trained_names():
    assert len(TRAINED) == 222


@pytest.mark.parametrize("name", TRAINED)
def test_a_trained_name_finds_an_organ_whose_prompt_the_model_saw(name):
    organ = find(name)
    assert name in organ.spellings
    assert organ.trained
    assert organ.prompt in TRAINED
    assert organ.spelled(name).prompt == name
    assert organ.spelled(name).name == organ.name


def test_every_spelling_is_one_the_model_saw_and_goes_first_in_most_data_sets():
    data_sets = {code: set(names) for code, names in NAMES["trained"].items() if code != "0025"}
    seen_in = Counter(name for names in data_sets.values() for name in names)
    for organ in vocabulary():
        assert set(organ.spellings) <= set(TRAINED)
        if organ.trained and organ.group != "vertebrae":
            assert seen_in[organ.prompt] == max(seen_in[name] for name in organ.spellings)


def test_only_our_own_labels_are_unknown_to_the_published_model():
    unseen = [organ for organ in vocabulary() if not organ.trained]
    assert unseen == [organ for organ in vocabulary() if organ.group == GROUP_UNSEEN]
    assert all(organ.prompt == organ.name for organ in unseen)
    assert {"soft tissue sarcoma", "costal cartilages"} <= {organ.name for organ in unseen}


def test_another_spelling_that_the_model_never_saw_is_refused():
    with pytest.raises(OrganError, match="not trained on “left renal gland” for left kidney"):
        find("left kidney").spelled("left renal gland")


@pytest.mark.parametrize(
    ("typed", "name", "prompt"),
    [
        ("coccygis", "coccyx", "coccygis"),
        ("small intestin", "small intestine", "small bowel"),
        ("liver kyst", "liver cyst", "liver cyst"),
        ("liver kyste", "liver cyst", "liver cyst"),
        ("metastasectomie", "metastasectomy", "metastasectomie"),
        ("bone mandible", "mandible", "bone mandible"),
        ("postcava", "inferior vena cava", "inferior vena cava"),
        ("gall bladder", "gallbladder", "gallbladder"),
        ("clavicula left", "left clavicle", "clavicula left"),
        ("iliac vena right", "right iliac vein", "iliac vena right"),
        ("larynx glottis", "glottis", "larynx glottis"),
        ("lumbar spine L1", "L1 vertebra", "vertebrae L1"),
        ("lumbar spine L6", "L6 vertebra", "lumbar spine L6"),
        ("liver tumor 07", "liver tumor", "liver tumor"),
        ("additional 13th thoracic vertebra, T13", "T13 vertebra", None),
    ],
)
def test_oddities_of_the_training_names_get_a_correct_name(typed, name, prompt):
    organ = find(typed)
    assert organ.name == name
    assert organ.prompt == (prompt or typed)


def test_l2_is_not_given_the_spelling_that_verse_used_for_l1_and_l2_alike():
    assert find("L2").spellings == ("vertebrae L2",)
    assert find("lumbar spine L2").name == "L2 vertebra"


@pytest.mark.parametrize("label", NAMES["training_labels"] + NAMES["demo_labels"])
def test_a_label_of_our_data_finds_an_organ_of_the_same_side(label):
    organ = find(label)
    side = re.search("left|right", label.lower())
    assert organ.side == (side and side[0])


def test_labels_of_one_data_set_are_different_organs():
    for labels in (NAMES["training_labels"], NAMES["demo_labels"]):
        labels_by_organ = defaultdict(list)
        for label in labels:
            labels_by_organ[find(label).name].append(label)
        assert {name for name, labels in labels_by_organ.items() if len(labels) > 1} <= {
            "esophagus",  # OpenKBP's Esophagus and TotalSegmentator's esophagus, in one list
            "spinal cord",
        }


@pytest.mark.parametrize("name", NAMES["trained"]["0011"])
def test_totalsegmentator_labels_are_found_with_underscores(name):
    assert name in find(name.replace(" ", "_")).spellings


def test_the_data_file_has_one_organ_a_line_and_says_where_it_is_from():
    text = resource_path("organs.json").read_text(encoding="utf-8")
    lines = [json.loads(line.rstrip(",")) for line in text.splitlines() if '{"name"' in line]
    assert [line["name"] for line in lines] == [organ.name for organ in vocabulary()]
    assert {"names", "terminology", "colors", "licence"} <= set(json.loads(text)["source"])


def test_names_are_unique():
    assert len({organ.name for organ in vocabulary()}) == len(vocabulary())


def test_the_module_starts_fast_and_needs_the_standard_library_alone():
    new = python(
        "import sys; before = set(sys.modules); import segvol_core.organs;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(*sorted(new - sys.stdlib_module_names))"
    )
    assert new.split() == ["segvol_core"]
    assert import_cost("segvol_core.organs") < 1
