"""Reduce a name of an organ to standard words, so that names that mean the same compare equal.

"Left Kidneys", "kidney_left", "lt kidney" and "LeftKidney" all become ("kidney", "left").
"""

import re
import unicodedata

Key = tuple[str, ...]
"""Words in alphabetical order: a name without its word order."""


def split_words(text: str) -> list[str]:
    """Split "SpinalCord", "rib_left_7" or "Esophagus (upper)" into lower-case words."""
    letters = unicodedata.normalize("NFKD", text)
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    letters = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", letters).casefold()
    letters = re.sub(r"([a-z]{3,})(\d)", r"\1 \2", letters)  # rib7, but not L3 or Th12
    return re.findall(r"[^\W_]+", letters)


def standard_words(text: str, table: dict[str, str]) -> list[str]:
    """Split a name into standard words, plurals kept; `table` maps words to standard ones."""
    words = split_words(text)
    if len(words) == 2 and words[0] in {"c", "t", "th", "d", "l", "s"} and words[1].isdigit():
        words = ["".join(words)]  # "L 3" is a vertebra; "rib L 3" is not
    return [table.get(word, word) for word in map(_number, words) if word not in {"of", "the"}]


def exact_key(words: list[str]) -> Key:
    """Return the key that tells "kidneys" from "kidney"."""
    return tuple(sorted(words))


def loose_key(words: list[str], table: dict[str, str]) -> Key:
    """Return the key in which plurals are singular."""
    singulars = map(_singular, words)
    return exact_key([table.get(word, word) for word in singulars])


def _number(word: str) -> str:
    """Write ordinals as numbers, numbers without zeros in front, Th4 and D4 as T4."""
    if number := re.fullmatch(r"0*(\d+)(st|nd|rd|th)?", word):
        return number[1]
    if thoracic_level := re.fullmatch(r"(?:th|d)(\d{1,2})", word):
        return f"t{thoracic_level[1]}"
    return word


def _singular(word: str) -> str:
    """Cut the plural endings of English and Latin off a word, as a key and not as a spelling."""
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("ae"):
        return word[:-1]
    if word.endswith(("ses", "xes")):
        return _singular(word[:-2])
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
