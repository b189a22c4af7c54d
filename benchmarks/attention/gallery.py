"""Galleries of test images: the attention on right and wrong predictions, and the strongest patches of each map."""

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
from benchmarks.attention.drawing import Marks, Pixels, Row, Tile, heat, marked, sheet
from benchmarks.attention.localise import AttentionEvaluator, AttentionScores
from benchmarks.attention.measures import crop_boxes, enlarged
from benchmarks.training.networks.build_method import autocast
from datasets.loading import augment
from results.augmentation import InputScaling
from results.files import make_folder, write_whole
from results.store import GALLERY

MAPS = 4
"""Strongest maps of an image that are shown one by one."""
PATCHES = 8
"""Images per map of the sheet of patches."""
PATCH_ROWS = 20
"""Maps on that sheet."""
PATCH_LEGEND = (
    "Test images on which a map is strongest, cropped around its peak; its maximum is below; framed: wrong answer.",
)
PATCH_TILE = 96
"""Side of a tile with a patch, in pixels."""
PATCH_SIDE = 0.3
"""Side of a patch, as a share of the input's."""


def write_galleries(
    folder: Path, evaluator: AttentionEvaluator, scores: AttentionScores, predictions: pd.DataFrame, images: int
) -> list[Path]:
    """Writes `right.png`, `wrong.png` and `patches.png` into the Run's folder, except those without any image.

    `predictions`: a row per test image with `prediction` and `confidence`, in the order of the test rows. Shows up to
    `images` right and as many wrong ones, chosen by the hash of their paths: nobody selects them, and all methods show
    nearly the same ones. Raises `results.errors.ResultsError` if a file can't be written.
    """
    right = (predictions["prediction"] == predictions["label"]).to_numpy()
    order = _order([evaluator.dataset.paths[row] for row in evaluator.splits["test"]])
    below = make_folder(folder.parent, f"{folder.name}/{GALLERY}", "--results")
    sheets = []
    for name, wanted in (("right", right), ("wrong", ~right)):
        places = order[wanted[order]][:images]
        if len(places):
            rows = list(_rows(evaluator, scores, predictions, places))
            heading = [f"{evaluator.run.label}: {name} answers", *_legend(scores)]
            sheets.append((name, sheet(heading, rows)))
    if rows := list(_patch_rows(evaluator, scores, predictions, order)):
        heading = [f"{evaluator.run.label}: the strongest patches of each map", *PATCH_LEGEND]
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


def _legend(scores: AttentionScores) -> Iterator[str]:
    yield (
        "The network's input, mean of all maps, strongest maps, the method's own images; "
        "each map is scaled to its maximum"
    )
    marks = ["ring: peak"]
    if scores.frame.parts is not None:
        marks.append("crosses: visible parts")
    if scores.frame.boxes is not None:
        marks.append("orange: annotated box")
    if scores.crop_threshold is not None:
        marks.append(f"green: attention crop, from {scores.crop_threshold:.2f} of the maximum")
    yield "; ".join(marks)


@torch.inference_mode()
def _rows(
    evaluator: AttentionEvaluator, scores: AttentionScores, predictions: pd.DataFrame, places: NDArray[np.int64]
) -> Iterator[Row]:
    """One row per image; `places` are indices into the test images."""
    classes, size = evaluator.dataset.classes, evaluator.run.recipe.image_size
    scaling = evaluator.run.scaling
    shown = iter(places.tolist())
    for batch in evaluator.feed(evaluator.splits["test"][places]).batches(epoch=0):
        images = augment.test_batch(batch, size, scaling)
        with autocast(evaluator.device, evaluator.run.precision):
            maps, explained = evaluator.method.attention(images), evaluator.method.explain(images)
        assert maps is not None
        explanations = {name: photos(one, scaling) for name, one in explained.items()}
        for number, (photo, own) in enumerate(zip(photos(images, scaling), maps.float().cpu(), strict=True)):
            place = next(shown)
            answer = predictions.iloc[place]
            answer_text = f"{classes[answer['prediction']]} ({100 * answer['confidence']:.0f} %)"
            label_text = classes[answer["label"]]
            words = answer_text if answer["prediction"] == answer["label"] else f"{answer_text}, but it is {label_text}"
            tiles = [*_tiles(photo, own, scores, place), *(Tile(of[number], name) for name, of in explanations.items())]
            yield Row(words, tiles)


def _tiles(photo: Pixels, maps: Tensor, scores: AttentionScores, place: int) -> Iterator[Tile]:
    """The photo with its annotations; the mean map with its peak and crop; the strongest maps with their peaks."""
    frame, mean = scores.frame, maps.mean(dim=0)
    marks = Marks()
    if frame.boxes is not None:
        marks.box = (frame.boxes[place] / frame.size).tolist()
    if frame.parts is not None and frame.visible is not None:
        marks.parts = (frame.parts[place][frame.visible[place]] / frame.size).tolist()
    yield Tile(marked(photo, marks))
    crop = None
    if scores.crop_threshold is not None:
        crop = (crop_boxes(enlarged(mean[None], frame.size), scores.crop_threshold)[0] / frame.size).tolist()
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
    evaluator: AttentionEvaluator, scores: AttentionScores, predictions: pd.DataFrame, order: NDArray[np.int64]
) -> Iterator[Row]:
    """A row per map: the images on which it is strongest; if it belongs to a class, of those predicted as the class."""
    strengths = scores.attention.strengths.cpu().numpy()
    maps = strengths.shape[1]
    predicted = predictions["prediction"].to_numpy()
    chosen: list[tuple[str, int, NDArray[np.int64]]] = []
    if evaluator.method.maps_of_class:
        for label in _shown_classes(predicted[order], max(1, PATCH_ROWS // maps)):
            among = np.flatnonzero(predicted == label)
            name = evaluator.dataset.classes[label]
            chosen += [(f"{name}: map {index + 1}", index, among) for index in range(min(maps, PATCH_ROWS))]
    else:
        strongest = np.argsort(-strengths.mean(axis=0), kind="stable")[:PATCH_ROWS]
        chosen += [(f"map {index + 1}", index, np.arange(len(strengths))) for index in sorted(strongest.tolist())]
    best = [among[np.argsort(-strengths[among, index], kind="stable")[:PATCHES]] for _, index, among in chosen]
    photo_of = _photos_of(evaluator, np.unique(np.concatenate(best))) if best else {}
    right = (predictions["prediction"] == predictions["label"]).to_numpy()
    for (words, index, _), places in zip(chosen, best, strict=True):
        centres = scores.attention.peaks[places, index].tolist()
        yield Row(
            words,
            [
                Tile(_patch(photo_of[place], centre), f"{strengths[place, index]:.3g}", not right[place])
                for place, centre in zip(places.tolist(), centres, strict=True)
                if strengths[place, index] > 0
            ],
        )


def _shown_classes(answers: NDArray[np.int64], count: int) -> list[int]:
    """The first classes that were predicted for at least `PATCHES` images, or for fewer if there is none."""
    counts = pd.Series(answers).value_counts()
    enough = set(counts[counts >= min(PATCHES, counts.max())].index)
    return [label for label in dict.fromkeys(answers.tolist()) if label in enough][:count]


def _photos_of(evaluator: AttentionEvaluator, places: NDArray[np.int64]) -> dict[int, Pixels]:
    """The network's inputs for some test images, by index."""
    found: list[Pixels] = []
    size, scaling = evaluator.run.recipe.image_size, evaluator.run.scaling
    for batch in evaluator.feed(evaluator.splits["test"][places]).batches(epoch=0):
        found += photos(augment.test_batch(batch, size, scaling), scaling)
    return dict(zip(places.tolist(), found, strict=True))


def _patch(photo: Pixels, centre: Sequence[float]) -> Pixels:
    """The square around a point, moved inside the photo."""
    side = max(1, round(PATCH_SIDE * len(photo)))
    left, top = (min(max(round(len(photo) * place - side / 2), 0), len(photo) - side) for place in centre)
    return photo[top : top + side, left : left + side]


def photos(images: Tensor, scaling: InputScaling) -> list[Pixels]:
    """A network's input `(B, 3, H, W)` as pictures: uint8 `(H, W, 3)` each."""
    pixels = augment.original(images, scaling)
    return list(pixels.permute(0, 2, 3, 1).cpu().numpy())
