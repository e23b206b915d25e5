"""What people type becomes the organ they mean, what the model saw, and what Slicer calls it."""

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slicerio.segmentation import terminology_entry_from_string, terminology_entry_to_string

from segvol_core.errors import OrganError
from segvol_core.organ_words import loose_key, standard_words
from segvol_core.organs import (
    GROUP_UNSEEN,
    MAX_TEXT_LENGTH,
    Organ,
    find,
    free_text,
    parse_names,
    suggest,
    vocabulary,
)
from segvol_core.resources import resource_path

DATA = Path(__file__).parents[1] / "data"
NAMES = json.loads((DATA / "organ_names.json").read_text(encoding="utf-8"))
SLICER = json.loads((DATA / "slicer_terminology.json").read_text(encoding="utf-8"))

TRAINED = sorted({name for names in NAMES["trained"].values() for name in names})
SIDED = [organ for organ in vocabulary() if organ.side]
OWN_LISTS = [name for name in SLICER["lists"] if "Total Segmentator" not in name]


def labels_of(organ: Organ) -> tuple[str, ...]:
    return (organ.name, *organ.spellings, *organ.synonyms)


# The 222 names of the published model


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


# The labels of the data the starter learns from, and of the demo case


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


# What people type


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


# Suggestions


def test_a_misspelt_name_is_refused_with_the_nearest():
    sentence = "There is no organ called “spleeen” in the vocabulary. Did you mean spleen?"
    with pytest.raises(OrganError) as caught:
        find("spleeen")
    assert str(caught.value) == sentence
    assert caught.value.suggestions == ("spleen",)


def test_a_name_near_to_nothing_is_refused_without_a_guess():
    with pytest.raises(OrganError) as caught:
        find("qqqq")
    assert str(caught.value) == "There is no organ called “qqqq” in the vocabulary."
    assert caught.value.suggestions == ()


@pytest.mark.parametrize(
    ("typed", "best"),
    [
        ("left kdney", "left kidney"),
        ("kideny right", "right kidney"),
        ("livr", "liver"),
        ("galbladder", "gallbladder"),
        ("pancras", "pancreas"),
        ("vertebra L33", "L3 vertebra"),
        ("ascending aorta", "aorta"),
        ("panc", "pancreas"),
        ("thy", "thyroid gland"),
        ("left par", "left parotid gland"),
        ("gullet", "esophagus"),
    ],
)
def test_the_best_suggestion_comes_first(typed, best):
    assert suggest(typed)[0] == best


def test_completion_prefers_names_that_begin_so():
    assert suggest("li", 4) == ("lips", "liver", "liver cyst", "liver tumor")
    assert suggest("lung", 1) == ("lungs",)
    left = {organ.name for organ in SIDED if organ.side == "left"}
    assert set(suggest("left", 99)) == left | {"kidneys", "lungs"}  # "left and right lung"
    assert suggest("") == ()


@pytest.mark.parametrize("empty", ["", "  ", " ,;_- \n"])
def test_no_name_is_said_to_be_no_name(empty):
    for take in (find, parse_names):
        with pytest.raises(OrganError, match="No organ name was given"):
            take(empty)


def test_a_name_as_long_as_a_page_is_refused():
    with pytest.raises(
        OrganError, match=f"may have {MAX_TEXT_LENGTH} characters; this one has 999"
    ):
        find("x" * 999)


# Lists of names


def test_a_list_of_names_keeps_its_order_and_has_each_organ_once():
    organs = parse_names("liver, spleen; left kidney\nkidney left ,, Liver;")
    assert [organ.name for organ in organs] == ["liver", "spleen", "left kidney"]


def test_a_list_with_unknown_names_names_them_all():
    with pytest.raises(
        OrganError, match=r"“livr”.*mean liver\? .*“spleeen”.*mean spleen\?"
    ) as caught:
        parse_names("livr, heart, spleeen")
    assert caught.value.suggestions == ("liver", "spleen")


def test_quoted_text_in_a_list_is_passed_through():
    organs = parse_names('liver, "Liver, caudate lobe", “spleeen”')
    assert [organ.prompt for organ in organs] == ["liver", "Liver, caudate lobe", "spleeen"]
    assert organs[1] == free_text("Liver, caudate lobe")


# Any text


def test_free_text_reaches_the_model_unchanged():
    organ = free_text("  Aneurysm of the AORTA (infrarenal) ")
    assert organ.prompt == organ.name == "Aneurysm of the AORTA (infrarenal)"
    assert organ.terminology is None
    assert organ.side is None
    assert not organ.trained


def test_free_text_is_not_looked_up():
    assert free_text("kidney left").prompt == "kidney left"
    assert free_text("liver").terminology_entry() is None


def test_free_text_has_the_same_colour_every_time_and_others_have_others():
    assert free_text("aneurysm").color == (87, 219, 141)
    texts = ["aneurysm", "haematoma", "abscess", "stent", "drain", "seroma"]
    assert len({free_text(text).color for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "No text"),
        (" \n", "No text"),
        ("a\nb", "cannot be printed"),
        ("a\0b", "cannot be printed"),
        ("x" * (MAX_TEXT_LENGTH + 1), "may have 200 characters"),
    ],
)
def test_free_text_that_is_no_name_is_refused(text, sentence):
    with pytest.raises(OrganError, match=sentence):
        free_text(text)


# Slicer's codes and colours


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


# The file and the module


def test_the_data_file_has_one_organ_a_line_and_says_where_it_is_from():
    text = resource_path("organs.json").read_text(encoding="utf-8")
    lines = [json.loads(line.rstrip(",")) for line in text.splitlines() if '{"name"' in line]
    assert [line["name"] for line in lines] == [organ.name for organ in vocabulary()]
    assert {"names", "terminology", "colors", "licence"} <= set(json.loads(text)["source"])


def test_names_are_unique():
    assert len({organ.name for organ in vocabulary()}) == len(vocabulary())


def test_the_module_starts_fast_and_needs_the_standard_library_alone():
    script = (
        "import sys, time; before = set(sys.modules); start = time.process_time();"
        "import segvol_core.organs; seconds = time.process_time() - start;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(seconds, *sorted(new - sys.stdlib_module_names))"
    )
    runs = [
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(5)
    ]
    assert {tuple(packages) for _, *packages in runs} == {("segvol_core",)}
    assert min(float(seconds) for seconds, *_ in runs) < 0.05
