"""CLIP's byte-pair encoding of a sentence."""

from __future__ import annotations

import gzip
from functools import lru_cache

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE

from segvol_core.resources import resource_path

_MERGES_FILE = "bpe_simple_vocab_16e6.txt.gz"
_END_OF_WORD = "</w>"
# Words, single digits and runs of punctuation, as CLIP splits them (openai/CLIP, MIT).
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_FULL_MERGES = 48894
"""Merges of CLIP's vocabulary: 49408 tokens less 2 x 256 bytes and two marks."""


class ClipTokenizer:
    """Sentence to token ids with start and end marks.

    A vocabulary smaller than CLIP's keeps the first (most frequent) merges, so every text can be
    encoded and common words stay whole.

    Parameters
    ----------
    vocabulary
        Number of tokens; the last two are the marks of start and end.
    positions
        Longest sentence in tokens; a longer one is cut and keeps its end mark.
    """

    def __init__(self, vocabulary: int, positions: int) -> None:
        self.start = vocabulary - 2
        self.end = vocabulary - 1
        self._positions = positions
        self._bpe = _byte_pair_encoding(vocabulary)

    def __call__(self, sentence: str) -> list[int]:
        """Token ids of a sentence."""
        ids = self._bpe.encode(sentence, add_special_tokens=False).ids
        return [self.start, *ids[: self._positions - 2], self.end]


@lru_cache(maxsize=4)
def _byte_pair_encoding(vocabulary: int) -> Tokenizer:
    merges = _merges()[: vocabulary - 512 - 2]
    letters = _byte_letters()
    words = [*letters, *(letter + _END_OF_WORD for letter in letters)]
    words += [first + second for first, second in merges]
    tokenizer = Tokenizer(
        BPE(
            vocab={word: index for index, word in enumerate(words)},
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix=_END_OF_WORD,
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


@lru_cache(maxsize=1)
def _merges() -> list[tuple[str, str]]:
    lines = gzip.decompress(resource_path(_MERGES_FILE).read_bytes()).decode().split("\n")
    pairs = (line.split() for line in lines[1 : _FULL_MERGES + 1])
    return [(first, second) for first, second in pairs]


def _byte_letters() -> list[str]:
    """One printable character for every byte, in the order of CLIP's vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = range(256 - len(printable))
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in others]
