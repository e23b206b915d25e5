"""Names that are unknown get suggestions; lists of names, and texts that are no names."""

import pytest
from organ_data import SIDED

from segvol_core.errors import OrganError
from segvol_core.organs import (
    MAX_TEXT_LENGTH,
    find,
    free_text,
    parse_names,
    suggest,
)


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
