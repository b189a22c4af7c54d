"""Galleries of test images: what a method attends to where it is right or wrong, and what each of its maps finds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.attention.attention_maps import peaks
from benchmarks.attention.drawing import Marks, Picture, Row, Tile, heat, marked, sheet
from benchmarks.attention.localise import AttentionEvaluator, AttentionScores
from benchmarks.attention.measures import crop_boxes, enlarged
from benchmarks.training.build_method import autocast
from datasets.loading import augment
from results.store import ResultStore, write_whole

FOLDER = "gallery"
"""Below a Run's own."""
MAPS = 4
"""Of an image, shown one by one: the strongest."""
PATCHES = 8
"""Images per map of the sheet of patches."""
PATCH_ROWS = 20
"""Maps on that sheet."""
PATCH_LEGEND = (
    "Test images on which a map is strongest, cut around its peak; its maximum in the corner; framed: wrong answer.",
)
PATCH_TILE = 96
"""Pixels."""
PATCH_SIDE = 0.3
"""Of the input's side."""


def write_galleries(
    folder: Path, viewer: AttentionEvaluator, sight: AttentionScores, predictions: pd.DataFrame, images: int
) -> list[Path]:
    """Writes `right.png`, `wrong.png` and `patches.png` below the Run's folder; none of what there is no image for.

    `predictions`: a row per test image with `prediction` and `confidence`, in the order of the test rows. Up to
    `images` right and as many wrong ones are shown, by the hash of their paths: nobody picks them, and all methods
    show much the same ones. Raises `results.store.ResultsError` if a file can't be written.
    """
    right = (predictions["prediction"] == predictions["label"]).to_numpy()
    order = _order([viewer.dataset.paths[row] for row in viewer.splits["test"]])
    below = ResultStore(folder).folder(FOLDER)
    sheets = []
    for name, wanted in (("right", right), ("wrong", ~right)):
        places = order[wanted[order]][:images]
        if len(places):
            rows = list(_rows(viewer, sight, predictions, places))
            heading = [f"{viewer.run.label}: {name} answers", *_legend(sight)]
            sheets.append((name, sheet(heading, rows)))
    if rows := list(_patch_rows(viewer, sight, predictions, order)):
        heading = [f"{viewer.run.label}: the strongest patches of each map", *PATCH_LEGEND]
        sheets.append(("patches", sheet(heading, rows, PATCH_TILE)))
    written = []
    for name, image in sheets:
        path = below / f"{name}.png"
        write_whole(path, partial(image.save, format="PNG"))
        written.append(path)
    return written


def _order(paths: Sequence[str]) -> NDArray[np.int64]:
    digests = [hashlib.sha256(path.encode()).digest() for path in paths]
    return np.array(sorted(range(len(paths)), key=digests.__getitem__), dtype=np.int64)


def _legend(sight: AttentionScores) -> Iterator[str]:
    yield (
        "Photo as the network sees it, mean of all maps, strongest maps, the method's own pictures; "
        "the brightest of each map is its maximum"
    )
    marks = ["ring: peak"]
    if sight.frame.parts is not None:
        marks.append("crosses: visible parts")
    if sight.frame.boxes is not None:
        marks.append("orange: annotated box")
    if sight.crop_threshold is not None:
        marks.append(f"green: attention crop, from {sight.crop_threshold:.2f} of the maximum")
    yield "; ".join(marks)


@torch.inference_mode()
def _rows(
    viewer: AttentionEvaluator, sight: AttentionScores, predictions: pd.DataFrame, places: NDArray[np.int64]
) -> Iterator[Row]:
    """One row per image; `places` are positions among the test images."""
    classes, size = viewer.dataset.classes, viewer.run.recipe.image_size
    shown = iter(places.tolist())
    for batch in viewer.feed(viewer.splits["test"][places]).batches(epoch=0):
        images = augment.test_batch(batch, size)
        with autocast(viewer.device, viewer.run.precision):
            maps, explained = viewer.method.attention(images), viewer.method.explain(images)
        assert maps is not None
        pictures = {name: photos(one) for name, one in explained.items()}
        for number, (photo, own) in enumerate(zip(photos(images), maps.float().cpu(), strict=True)):
            place = next(shown)
            answer = predictions.iloc[place]
            said = f"{classes[answer['prediction']]} ({100 * answer['confidence']:.0f} %)"
            truth = classes[answer["label"]]
            words = said if answer["prediction"] == answer["label"] else f"{said}, but it is {truth}"
            tiles = [*_tiles(photo, own, sight, place), *(Tile(of[number], name) for name, of in pictures.items())]
            yield Row(words, tiles)


def _tiles(photo: Picture, maps: Tensor, sight: AttentionScores, place: int) -> Iterator[Tile]:
    """The photo with what is annotated; the mean map with its peak and crop; the strongest maps with their peaks."""
    frame, mean = sight.frame, maps.mean(dim=0)
    marks = Marks()
    if frame.boxes is not None:
        marks.box = (frame.boxes[place] / frame.size).tolist()
    if frame.parts is not None and frame.visible is not None:
        marks.parts = (frame.parts[place][frame.visible[place]] / frame.size).tolist()
    yield Tile(marked(photo, marks))
    crop = None
    if sight.crop_threshold is not None:
        crop = (crop_boxes(enlarged(mean[None], frame.size), sight.crop_threshold)[0] / frame.size).tolist()
    yield Tile(
        marked(heat(photo, mean.numpy()), Marks(crop=crop, peak=_peak(mean))),
        f"mean of {len(maps)}" if len(maps) > 1 else "attention",
    )
    if len(maps) == 1:
        return
    for index in maps.amax(dim=(1, 2)).argsort(descending=True)[:MAPS].tolist():
        own = maps[index]
        yield Tile(marked(heat(photo, own.numpy()), Marks(peak=_peak(own))), f"map {index + 1}")


def _peak(attention: Tensor) -> list[float] | None:
    return peaks(attention).tolist() if attention.amax() > 0 else None


def _patch_rows(
    viewer: AttentionEvaluator, sight: AttentionScores, predictions: pd.DataFrame, order: NDArray[np.int64]
) -> Iterator[Row]:
    """A row per map: the images on which it is strongest. Where maps are a class's own, of the images taken for it."""
    strengths = sight.seen.strengths.cpu().numpy()
    maps = strengths.shape[1]
    taken_for = predictions["prediction"].to_numpy()
    chosen: list[tuple[str, int, NDArray[np.int64]]] = []
    if viewer.method.maps_of_class:
        for label in _shown_classes(taken_for[order], max(1, PATCH_ROWS // maps)):
            among = np.flatnonzero(taken_for == label)
            name = viewer.dataset.classes[label]
            chosen += [(f"{name}: map {index + 1}", index, among) for index in range(min(maps, PATCH_ROWS))]
    else:
        strongest = np.argsort(-strengths.mean(axis=0), kind="stable")[:PATCH_ROWS]
        chosen += [(f"map {index + 1}", index, np.arange(len(strengths))) for index in sorted(strongest.tolist())]
    best = [among[np.argsort(-strengths[among, index], kind="stable")[:PATCHES]] for _, index, among in chosen]
    photo_of = _photos_of(viewer, np.unique(np.concatenate(best))) if best else {}
    right = (predictions["prediction"] == predictions["label"]).to_numpy()
    for (words, index, _), places in zip(chosen, best, strict=True):
        centres = sight.seen.peaks[places, index].tolist()
        yield Row(
            words,
            [
                Tile(_patch(photo_of[place], centre), f"{strengths[place, index]:.3g}", not right[place])
                for place, centre in zip(places.tolist(), centres, strict=True)
                if strengths[place, index] > 0
            ],
        )


def _shown_classes(answers: NDArray[np.int64], count: int) -> list[int]:
    """The first classes that at least `PATCHES` images were taken for, or fewer images if there is none."""
    often = pd.Series(answers).value_counts()
    enough = set(often[often >= min(PATCHES, often.max())].index)
    return [label for label in dict.fromkeys(answers.tolist()) if label in enough][:count]


def _photos_of(viewer: AttentionEvaluator, places: NDArray[np.int64]) -> dict[int, Picture]:
    """Test images as the network sees them, by their positions."""
    found: list[Picture] = []
    for batch in viewer.feed(viewer.splits["test"][places]).batches(epoch=0):
        found += photos(augment.test_batch(batch, viewer.run.recipe.image_size))
    return dict(zip(places.tolist(), found, strict=True))


def _patch(photo: Picture, centre: Sequence[float]) -> Picture:
    """The square around a place, moved inwards where it would leave the photo."""
    side = max(1, round(PATCH_SIDE * len(photo)))
    left, top = (min(max(round(len(photo) * place - side / 2), 0), len(photo) - side) for place in centre)
    return photo[top : top + side, left : left + side]


def photos(images: Tensor) -> list[Picture]:
    """Normalised images `(B, 3, H, W)` as they were: uint8 `(H, W, 3)` each."""
    mean, std = (torch.tensor(of, device=images.device)[:, None, None] for of in (augment.MEAN, augment.STD))
    pixels = (255 * (images.float() * std + mean)).round().clamp(0, 255).to(torch.uint8)
    return list(pixels.permute(0, 2, 3, 1).cpu().numpy())
