"""Speed of building the decoded store, compared with decoding in every epoch, and of opening and verifying it.

Photos are as large as those of CUB-200-2011 (500 x 375 px, about 60 kB) and are read from the page cache. All decoders
use the same number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

from datasets.formats.decode import read_image
from datasets.interface import Dataset
from datasets.loading.store import Store, open_store
from tests.helpers.speed import DEVICE, finish, seconds

FILES, PHOTOS, CUB_IMAGES, SIZE = 50, 2000, 11_788, 256
BATCH = 64
pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision")


class Photos(Dataset):
    """`count` images from a few files."""

    title = "photos with as much detail as real ones"

    def __init__(self, files: list[Path], count: int) -> None:
        self.name, self.classes, self.files = "photos", ("a", "b"), files
        self.paths = tuple(f"{number}.jpg" for number in range(count))
        self.labels = np.arange(count, dtype=np.int64) % 2
        self.is_train = np.ones(count, dtype=bool)

    def image(self, index: int) -> np.ndarray:
        return read_image(self.file(index))

    def file(self, index: int) -> Path:
        return self.files[index % len(self.files)]


@pytest.fixture(scope="module")
def photos(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Photos:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    files = [folder / f"{number}.jpg" for number in range(FILES)]
    for file in files:
        coarse = Image.fromarray(generator.integers(0, 256, (94, 125, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(file, quality=85)
    return Photos(files, PHOTOS if request.config.getoption("--benchmark-enable") else FILES)


def measure(benchmark: Any, work: Callable[[], Iterable[Any]], images: int) -> None:
    """Processes all images several times; records images/s from the median."""

    def all_images() -> None:
        for _ in work():
            pass

    benchmark.pedantic(all_images, rounds=5, warmup_rounds=1)
    if benchmark.stats is not None:
        benchmark.extra_info["images/s"] = round(images / benchmark.stats.stats.median)
        benchmark.extra_info["threads"] = joblib.cpu_count()


def in_threads(work: Callable[[Path], Any], photos: Photos) -> Iterator[Any]:
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        yield from pool.map(work, map(photos.file, range(len(photos))))


@pytest.mark.benchmark(group="photos to 256 px")
@pytest.mark.parametrize("rule", ["squash", "short_side"])
def test_build_of_a_store(benchmark: Any, photos: Photos, tmp_path: Path, rule: Any) -> None:
    caches = iter(range(100))
    measure(benchmark, lambda: [open_store(photos, SIZE, rule, tmp_path / str(next(caches)))], len(photos))


@pytest.mark.benchmark(group="photos to 256 px")
def test_pillow_and_torchvision_transforms(benchmark: Any, photos: Photos) -> None:
    """As usual elsewhere, without storing the pixels."""
    transform = v2.Compose([v2.Resize((SIZE, SIZE)), v2.PILToTensor()])
    measure(benchmark, lambda: in_threads(lambda file: transform(Image.open(file).convert("RGB")), photos), len(photos))


@pytest.mark.benchmark(group="decode photos")
def test_our_decoder(benchmark: Any, photos: Photos) -> None:
    measure(benchmark, lambda: in_threads(read_image, photos), len(photos))


@pytest.mark.benchmark(group="decode photos")
def test_pillow(benchmark: Any, photos: Photos) -> None:
    measure(benchmark, lambda: in_threads(lambda file: Image.open(file).convert("RGB"), photos), len(photos))


@pytest.mark.benchmark(group="decode photos")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="nvJPEG needs a CUDA device")
def test_nvjpeg_in_batches(benchmark: Any, photos: Photos) -> None:
    """Not used for stores (see `datasets.loading.store`): the speed lost and the difference in pixels avoided."""
    encoded = [torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8) for file in photos.files]

    def decode_all() -> Iterator[list[torch.Tensor]]:
        for start in range(0, len(photos), BATCH):
            batch = [encoded[row % len(encoded)] for row in range(start, min(start + BATCH, len(photos)))]
            yield decode_jpeg(batch, ImageReadMode.RGB, device="cuda")
        torch.cuda.synchronize()

    measure(benchmark, decode_all, len(photos))
    decoded = decode_jpeg(encoded[0], ImageReadMode.RGB, device="cuda").permute(1, 2, 0).cpu().numpy()
    difference = np.abs(decoded.astype(int) - photos.image(0))
    benchmark.extra_info["levels off libjpeg"] = {"mean": float(difference.mean()), "largest": int(difference.max())}


@pytest.mark.benchmark(group="open and verify a store")
def test_opening_as_many_images_as_cub_has(benchmark: Any, photos: Photos, tmp_path: Path) -> None:
    """Includes the hashes of the table. Images have 4 px, so reading pixels takes hardly any time."""
    file = tmp_path / "small.jpg"
    Image.fromarray(photos.image(0)[:8, :8]).save(file)

    def opened() -> Store:
        return open_store(Photos([file], CUB_IMAGES), 4, "squash", tmp_path / "cache")

    opened()
    assert len(benchmark(opened)) == CUB_IMAGES


@pytest.mark.benchmark(group="open and verify a store")
def test_opening_large_images(benchmark: Any, photos: Photos, tmp_path: Path) -> None:
    """At 512 px, reading the pixels of the checked images takes most of the time."""
    open_store(photos, 512, "short_side", tmp_path)
    assert len(benchmark(open_store, photos, 512, "short_side", tmp_path)) == len(photos)


@pytest.mark.benchmark(group="open and verify a store")
def test_verifying_every_pixel(benchmark: Any, photos: Photos, tmp_path: Path) -> None:
    store = open_store(photos, SIZE, "squash", tmp_path)
    measure(benchmark, lambda: [store.verify()], len(store))


@pytest.mark.benchmark(group="copy a store to the device")
@pytest.mark.parametrize("state", ["checked before", "not checked"])
def test_copy_to_the_device(benchmark: Any, photos: Photos, tmp_path: Path, state: str) -> None:
    """In large pieces, against one copy for each image."""
    store, rows = open_store(photos, SIZE, "short_side", tmp_path), np.arange(len(photos))
    store.verify()

    def one_by_one() -> None:
        for row in range(len(store)):
            store.image(row).to(DEVICE, copy=True)

    def in_pieces() -> Store:
        store.unchecked[:] = state == "not checked"
        return store.to(DEVICE, rows)

    measure(benchmark, lambda: [in_pieces(), finish()], len(store))
    if benchmark.enabled:
        times = seconds({"pieces": in_pieces, "images": one_by_one})
        benchmark.extra_info["GB/s"] = round(int(store.offsets[-1]) / times["pieces"] / 1e9, 2)
        benchmark.extra_info["time of one by one, checked before / ours"] = round(times["images"] / times["pieces"], 2)
