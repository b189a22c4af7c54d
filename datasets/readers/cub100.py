"""cub100: 100 of the 200 species of CUB-200-2011, every image cut to the bird's box.

It has no files of its own: it is read from the folder of CUB-200-2011, with its official split. The species are those
whose cuts lie in the public repository github.com/serizba/vision, with which the project's results were measured before
CUB-200-2011 itself was at hand. docs/data.md says how close those cuts are to these.
"""

from __future__ import annotations

from pathlib import Path

from datasets.formats.text_tables import BOXES
from datasets.interface import MissingAnnotation
from datasets.narrowed import Narrowed
from datasets.readers.cub_200_2011 import CUB
from datasets.release import Expected

SPECIES = """
1 4 7 10 12 13 14 15 16 18 19 22 24 26 28 34 35 41 42 46 47 48 50 51 52 53 54 55 56 57 58 60 61 63 67 68 69 70 73 75
77 79 80 81 83 85 86 87 88 89 90 93 94 95 96 97 98 100 101 105 106 109 110 114 120 123 124 132 134 136 138 139 140 151
152 158 159 163 164 165 166 169 170 172 176 180 181 184 185 186 187 188 189 190 191 192 194 195 198 200
"""
"""Ids of their classes in CUB-200-2011."""


class CUB100(Narrowed):
    """The official split of these species; the boxes are the whole images, and part points lie in the cuts."""

    known_as = "CUB-100"
    title = "100 species of CUB-200-2011 cut to the birds' boxes, 2 999 train and 2 903 test images"
    terms = CUB.terms
    part_of = CUB
    expected = Expected(
        classes=100,
        train=2_999,
        test=2_903,
        split_sha256="dc7368d9bfce6c8d194dd695411ec35bf113a612844c629a0998ccaf68e219a9",
        tables="original",
    )

    def __init__(self, folder: Path) -> None:
        whole = CUB(folder)
        whole.name = "cub_200_2011"
        if not whole.has_boxes:
            raise MissingAnnotation(folder / BOXES)
        species = set(SPECIES.split())
        kept = [name for number, name in enumerate(whole.classes, start=1) if str(number) in species]
        super().__init__(whole, classes=kept, crop="box")
        self.title, self.expected = CUB100.title, CUB100.expected
