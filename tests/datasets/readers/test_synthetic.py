"""The drawn dataset: reproducible on any machine, fine-grained, with correct boxes and parts."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets.drawing import birds
from datasets.drawing.birds import PARTS, Clutter, Scene
from datasets.drawing.raster import FULL, coverage
from datasets.interface import DatasetError
from datasets.readers.synthetic import CLASS_COUNT, Draws, Synthetic, draw_scene, styles_of

PINNED = {
    (96, 0.5, 0): "72f17c563aac9b3c",
    (96, 0.5, 1199): "d77a0ffd75e96f9c",
    (33, 1.0, 500): "13e73e592aea326c",
    (224, 0.0, 801): "69ade5d7a73a62ce",
}
"""Start of the SHA-256 of the pixels at seed 7, by size, difficulty and image number."""

SPLIT_HASH = "a9effa4fe7ce74e7a610348589cd54bbdc1b078eb521c7a9409e39b57915395d"


@pytest.fixture(scope="module")
def default() -> Synthetic:
    return Synthetic()


@pytest.fixture(scope="module")
def pictures(default: Synthetic) -> NDArray[np.uint8]:
    return np.stack([default.image(index) for index in range(len(default))])


def fingerprint(image: NDArray[np.uint8]) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()[:16]


# ---- the same everywhere ----------------------------------------------------------------------------------------


def test_the_bytes_of_known_images_are_the_same_on_every_machine():
    """If this fails after a change of the drawing, raise `birds.VERSION` and pin again; otherwise it found a fault."""
    drawn = {
        (size, difficulty, index): fingerprint(Synthetic(size=size, difficulty=difficulty, seed=7).image(index))
        for size, difficulty, index in [(96, 0.5, 0), (96, 0.5, 1199), (33, 1.0, 500), (224, 0.0, 801)]
    }
    assert birds.VERSION == 1
    assert drawn == PINNED


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(default, pictures):
    again, other = Synthetic(), Synthetic(seed=1)
    for index in (0, 700, 1199):
        assert np.array_equal(again.image(index), pictures[index])
        assert not np.array_equal(other.image(index), pictures[index])


def test_images_can_be_read_in_any_order_and_no_two_are_equal(default, pictures):
    assert np.array_equal(default.image(5), pictures[5])
    assert len({fingerprint(picture) for picture in pictures}) == len(default)


def test_a_class_has_the_same_images_in_every_window():
    narrow = Synthetic(classes=2, first_class=103, train_per_class=2, test_per_class=1)
    wide = Synthetic(classes=10, first_class=100, train_per_class=5, test_per_class=3)
    for index, path in enumerate(narrow.paths):
        assert np.array_equal(narrow.image(index), wide.image(wide.paths.index(path)))


def test_the_split_table_is_stable():
    assert Synthetic().split_hash == SPLIT_HASH
    assert Synthetic(seed=3, size=64).split_hash == SPLIT_HASH
    assert Synthetic(first_class=1).split_hash != SPLIT_HASH


def test_the_content_key_tells_apart_whatever_changes_the_pixels():
    keys = [
        Synthetic(**{option: value}).content_key for option, value in [("seed", 1), ("size", 64), ("difficulty", 0.6)]
    ]
    assert all(key != Synthetic().content_key for key in keys)
    assert Synthetic().content_key["drawing"] == birds.VERSION


# ---- fine-grained -----------------------------------------------------------------------------------------------


def test_all_classes_differ_and_neighbours_differ_in_exactly_one_part():
    tuples = [styles_of(class_id) for class_id in range(CLASS_COUNT)]
    assert len(set(tuples)) == CLASS_COUNT >= 200

    def differing(one: int, other: int) -> int:
        return sum(a != b for a, b in zip(tuples[one], tuples[other], strict=True))

    assert all(differing(k, k + 1) == 1 for k in range(CLASS_COUNT - 1))
    assert all(differing(k, k + 2) == 2 for k in range(CLASS_COUNT - 2))
    for class_id in (-1, CLASS_COUNT):
        with pytest.raises(ValueError, match="outside"):
            styles_of(class_id)


def test_no_single_part_identifies_a_default_class(default):
    tuples = [styles_of(label) for label in range(len(default.classes))]
    for part in range(len(PARTS)):
        owners = Counter(styles[part] for styles in tuples)
        assert len(owners) >= 3, "every part varies"
        assert min(owners.values()) >= 2, "and every style is shared"


def test_a_reader_of_the_true_parts_is_always_right(default):
    class_of = {styles: label for label, styles in enumerate(map(styles_of, range(len(default.classes))))}
    read = [class_of[default.scene(index).styles] for index in range(len(default))]
    assert read == default.labels.tolist()


def test_only_the_styles_of_a_scene_depend_on_the_class():
    one, other = (draw_scene(styles_of(class_id), Draws("the same draws"), 0.5) for class_id in (0, 200))
    assert one.styles != other.styles
    assert replace(one, styles=other.styles) == other


def best_linear_accuracy(features: NDArray[np.float64], dataset: Synthetic) -> float:
    """Ridge regression on one-hot labels, in closed form, at the strength that is best on the test images."""
    train, test = features[dataset.is_train], features[~dataset.is_train]
    mean, deviation = train.mean(axis=0), train.std(axis=0) + 1e-6
    train, test = (train - mean) / deviation, (test - mean) / deviation
    truth = dataset.labels[~dataset.is_train]
    targets = np.eye(len(dataset.classes))[dataset.labels[dataset.is_train]] - 1 / len(dataset.classes)
    values, vectors = np.linalg.eigh(train @ train.T)
    rotated, seen = vectors.T @ targets, test @ train.T @ vectors
    strengths = values.max() * 10.0 ** np.arange(-6, 2)
    scores = [seen @ (rotated / (values.clip(0) + strength)[:, None]) for strength in strengths]
    return max(float((score.argmax(axis=1) == truth).mean()) for score in scores)


def colour_histograms(pictures: NDArray[np.uint8], bins: int) -> NDArray[np.float64]:
    level = pictures.astype(np.int64) * bins // 256
    cell = (level[..., 0] * bins + level[..., 1]) * bins + level[..., 2]
    return np.stack([np.bincount(one.ravel(), minlength=bins**3) for one in cell]).astype(np.float64)


@pytest.mark.parametrize("bins", [4, 8])
def test_colour_histograms_do_not_give_the_class_away(default, pictures, bins):
    features = colour_histograms(pictures, bins)
    chance = 1 / len(default.classes)
    assert best_linear_accuracy(features, default) < 2 * chance
    assert best_linear_accuracy(np.sqrt(features), default) < 2 * chance


@pytest.mark.parametrize("step", [1, 4])
def test_raw_pixels_do_not_give_the_class_away_to_a_linear_classifier(default, pictures, step):
    pixels = pictures.reshape(len(pictures), 96 // step, step, 96 // step, step, 3).mean(axis=(2, 4), dtype=np.float32)
    assert best_linear_accuracy(pixels.reshape(len(pictures), -1), default) < 4 / len(default.classes)


# ---- truthful about boxes and parts -----------------------------------------------------------------------------


def silhouette(scene: Scene, size: int) -> NDArray[np.bool_]:
    """(size, size) the pixels at least half covered by the bird, occluded ones included."""
    shapes = [coverage(layer.polygon, size) for layer in birds.lay_out(scene, size).bird if not layer.inside]
    return np.stack(shapes).max(axis=0) * 2 >= FULL


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_the_box_holds_the_bird_tightly(difficulty):
    dataset = Synthetic(classes=40, train_per_class=2, test_per_class=0, difficulty=difficulty)
    for index, (x, y, width, height) in enumerate(dataset.boxes.tolist()):
        rows, columns = np.nonzero(silhouette(dataset.scene(index), dataset.size))
        assert x - 1 <= columns.min()
        assert y - 1 <= rows.min()
        assert columns.max() + 1 <= x + width + 1
        assert rows.max() + 1 <= y + height + 1
        assert (columns.max() + 1 - columns.min()) * (rows.max() + 1 - rows.min()) > 0.7 * width * height


def test_boxes_and_visible_points_lie_inside_the_frame(default):
    x, y, width, height = default.boxes.T
    assert (x >= 0).all()
    assert (y >= 0).all()
    assert (x + width <= 96).all()
    assert (y + height <= 96).all()
    assert (width * height > 0.2 * 96 * 96).all()
    assert default.parts.names == tuple(PARTS)
    assert default.parts.xy.shape == (len(default), len(PARTS), 2)
    seen = default.parts.xy[default.parts.visible]
    assert ((seen >= 0) & (seen < 96)).all()
    assert default.parts.visible.mean() > 0.95


def test_part_points_lie_on_the_bird(default):
    for index in range(0, len(default), 60):
        inside = silhouette(default.scene(index), 96)
        for name, (x, y), seen in zip(PARTS, default.parts.xy[index], default.parts.visible[index], strict=True):
            if seen and name != "legs":  # its point lies between the two of them
                assert inside[int(y), int(x)], name


@pytest.mark.parametrize("name", ["eye", "wing", "breast"])
def test_a_mark_is_several_pixels_large_and_near_its_part_point(default, name):
    part = list(PARTS).index(name)
    scene = replace(default.scene(0), noise=0, blur=0, before=())
    point = birds.lay_out(scene, 96).points[part]
    plain, *marked = (
        birds.draw(replace(scene, styles=(*scene.styles[:part], style, *scene.styles[part + 1 :])), 96)
        for style in PARTS[name]
    )
    for picture in marked:
        rows, columns = np.nonzero((picture != plain).any(axis=2))
        assert len(rows) > 40
        assert np.hypot(columns.mean() - point[0], rows.mean() - point[1]) < 12


def test_a_part_under_a_leaf_or_beyond_the_frame_is_not_visible(default):
    scene = replace(default.scene(0), before=(), place=(0.5, 0.5))
    layout = birds.lay_out(scene, 96)
    assert birds.visible(layout, 96).all()
    beak = list(PARTS).index("beak")
    at = (float(layout.points[beak, 0]) / 96, float(layout.points[beak, 1]) / 96)
    covered = replace(scene, before=(Clutter(at, 0.15, 0.5, 0.3, (0, 99, 0)),))
    assert not birds.visible(birds.lay_out(covered, 96), 96)[beak]
    assert birds.visible(birds.lay_out(covered, 96), 96)[list(PARTS).index("legs")]
    gone = birds.lay_out(replace(scene, place=(40.0, 0.5)), 96)
    assert not birds.visible(gone, 96).any()


def test_a_mirrored_bird_has_mirrored_points(default):
    scene = default.scene(0)
    one, other = (birds.lay_out(replace(scene, mirrored=mirrored), 96).points for mirrored in (False, True))
    assert np.allclose(one[:, 0] + other[:, 0], 96)
    assert np.allclose(one[:, 1], other[:, 1])


# ---- options ----------------------------------------------------------------------------------------------------


def test_the_table_is_sound_and_has_the_sizes_asked_for():
    dataset = Synthetic(classes=7, train_per_class=3, test_per_class=2, size=48, first_class=100)
    dataset.check()
    assert len(dataset) == 7 * 5
    assert dataset.is_train.sum() == 7 * 3
    assert dataset.image(34).shape == (48, 48, 3)
    assert dataset.image(34).dtype == np.uint8
    assert dataset.classes[0].startswith("100.")
    assert len(set(dataset.classes)) == 7
    assert dataset.paths[0] == f"train/{dataset.classes[0]}/0000.png"


def test_an_image_of_another_size_shows_the_same_scene(default):
    large = Synthetic(size=192)
    assert large.scene(11) == default.scene(11)
    assert np.allclose(large.boxes[11], default.boxes[11] * 2, atol=1e-3)
    calm = replace(default.scene(11), noise=0, blur=0)
    halved = birds.draw(calm, 192).reshape(96, 2, 96, 2, 3).mean(axis=(1, 3))
    assert np.abs(halved - birds.draw(calm, 96)).mean() < 4


def test_difficulty_shrinks_the_marks_and_widens_everything_else():
    easy, hard = (Synthetic(classes=20, train_per_class=5, test_per_class=0, difficulty=d) for d in (0.0, 1.0))
    scenes = {name: [ds.scene(i) for i in range(len(ds))] for name, ds in (("easy", easy), ("hard", hard))}
    assert scenes["easy"][0].part_scale > scenes["hard"][0].part_scale
    assert not any(scene.before for scene in scenes["easy"])
    assert any(scene.before for scene in scenes["hard"])
    spread = {name: np.std([scene.lean for scene in some]) for name, some in scenes.items()}
    assert spread["easy"] < spread["hard"]
    assert easy.parts.visible.all()
    assert not hard.parts.visible.all()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("classes", 0),
        ("classes", CLASS_COUNT + 1),
        ("classes", 2.5),
        ("first_class", -1),
        ("first_class", CLASS_COUNT - 19),
        ("train_per_class", 0),
        ("test_per_class", -1),
        ("size", 8),
        ("size", "96"),
        ("difficulty", 1.1),
        ("difficulty", "hard"),
        ("difficulty", float("nan")),
        ("seed", -1),
        ("seed", True),
    ],
)
def test_a_bad_option_is_refused_in_one_line_that_names_it(option, value):
    with pytest.raises(DatasetError, match=option) as caught:
        Synthetic(**{option: value})
    assert "\n" not in str(caught.value)
