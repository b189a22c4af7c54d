"""WebFG-496 (Sun et al., ICCV 2021): web images for the classes of three clean datasets.

Layout: `web-<subset>/{train,val}/<class>/*` for the subsets bird, aircraft and car, read like any class folders
(`datasets.readers.folder`): classes are sorted by name. The test set is `val`, the clean test images of CUB-200-2011,
FGVC-Aircraft and Stanford Cars; there is no validation split. About a third of the training labels are wrong, which is
the point of the dataset. The training images of the clean datasets must not be used.

Papers train one model per subset and average the three accuracies, so a subset has to be named.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.formats.decode import upright
from datasets.interface import DatasetError
from datasets.readers.folder import Folder
from datasets.release import Archive, Expected

EXPECTED = {
    subset: Expected(classes, train, test, split_sha256, tables="derived")
    for subset, classes, train, test, split_sha256 in (
        ("bird", 200, 18_388, 5_794, "1d444c0f381d6621222f30dbd397dad74ef9bc9082d8093916b35919b9c4d983"),
        ("aircraft", 100, 13_503, 3_333, "df39fc05cfa6430d30e67711b1e85e1bd63538126ead48e87c4e3fe769f29ed5"),
        ("car", 196, 21_448, 8_041, "e5c2556d17b1bdff4f1de75366c38f3a56223781ecc4946c61fde950d9018302"),
    )
}
"""By subset."""

END_OF_JPEG = b"\xff\xd9"


class WebFG496(Folder):
    """One subset: noisy train images, clean test images.

    Raises `DatasetError` if no subset is named or its folder is missing.
    """

    known_as = "WebFG-496"
    title = f"{known_as}: 200 birds, 100 aircraft, 196 cars, trained from 53 339 web images with noisy labels"
    terms = "none stated; the images belong to whoever put them on the web"
    folder = "webfg_496"
    archives = tuple(
        Archive(
            f"web-{subset}.tar.gz",
            (f"https://web-fgvc-496-5089-sh.oss-cn-shanghai.aliyuncs.com/web-{subset}.tar.gz",),
            gives=(f"webfg_496/web-{subset}",),
        )
        for subset in ("bird", "aircraft", "car")
    )
    layout = "the folders of WebFG-496 (web-bird/ …)"
    subsets = tuple({"subset": subset} for subset in EXPECTED)
    expected: Expected | None = Expected(classes=496, train=53_339, test=17_168)

    def __init__(self, folder: Path, *, subset: str | None = None) -> None:
        if not isinstance(subset, str) or subset not in EXPECTED:
            fault = "no subset is named" if subset is None else f"there is no subset {subset!r}"
            named = ", ".join(f"{self.folder}:{one}" for one in EXPECTED)
            raise DatasetError(f"{self.folder}: {fault}; name one as {named}, or set the option subset")
        own = folder / f"web-{subset}"
        if not own.is_dir():
            here = [f"{self.folder}:{one}" for one in EXPECTED if (folder / f"web-{one}").is_dir()]
            instead = f", or name a subset that is here: {', '.join(here)}" if here else ""
            raise DatasetError(
                f"{self.folder}: the folder {own} is missing; unpack web-{subset}.tar.gz into {folder}{instead}"
            )
        super().__init__(own)
        self.title = f"{self.known_as}, {subset}: web images with noisy labels to train on, clean ones to test"
        self.expected = EXPECTED[subset]

    @classmethod
    def release(cls, options: Mapping[str, Any]) -> Expected | None:
        return EXPECTED.get(str(options.get("subset")))

    @classmethod
    def has_layout(cls, folder: Path) -> bool:
        return any((folder / f"web-{subset}").is_dir() for subset in EXPECTED)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Image `index` as RGB `(H, W, 3)`; the missing part of a truncated training JPEG is grey.

        Raises `DatasetError` for any other file that can't be decoded, and for every damaged test image.
        """
        try:
            return super().image(index)
        except DatasetError:
            cut = _decode_cut_jpeg(self.file(index)) if self.is_train[index] else None
            if cut is None:
                raise
            return cut


def _decode_cut_jpeg(file: Path) -> NDArray[np.uint8] | None:
    """The decoded part of a truncated JPEG, as with Pillow's `LOAD_TRUNCATED_IMAGES`, which papers use but which is
    a setting of the whole process; None if nothing can be decoded."""
    try:
        with Image.open(io.BytesIO(file.read_bytes() + END_OF_JPEG), formats=["JPEG"]) as image:
            return upright(np.array(image.convert("RGB")), image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
