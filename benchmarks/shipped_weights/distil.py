"""Distils the small transformers that come with the project from the project's small ResNet.

From labels alone, a Swin learns nothing about the drawn birds within an hour on two cores (top-1 stays at chance: the
marks are small, and it lacks the locality bias of convolutions). Trained to imitate the ResNet's maps, it learns within
minutes. `python -m benchmarks.shipped_weights.distil NAME` trains one of `students.py` on the classes of the suite
`pretrain` and writes `methods/weights/NAME.safetensors`; its network options belong in `known.yaml`.

It has a loop of its own, since a Run's trainer trains methods by name and has no teacher.
"""

from __future__ import annotations

import torch
import typer
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy, mse_loss

from benchmarks.config import read_yaml
from benchmarks.planning.suite import FOLDER
from benchmarks.shipped_weights.ship import write_backbone
from benchmarks.shipped_weights.students import SIZE, STUDENTS, TokenMaps
from benchmarks.training.optim import lr_factor
from datasets import open_dataset
from datasets.interface import Dataset
from datasets.loading.augment import normalise
from datasets.loading.store import Store, open_store
from methods.backbones import Backbone, TimmBackbones
from results.recipe import Schedule

TEACHER, TEACHER_WEIGHTS = "test_resnet", "test_resnet_birds"
IMITATION = 5.0
"""Weight of each map's squared error, in units of the teacher's variance, relative to the cross-entropy."""
BATCH, WEIGHT_DECAY, CLIP_NORM = 32, 0.05, 1.0


class Distillation(nn.Module):
    """A student that predicts the class and, through one linear layer per map, its teacher's maps."""

    def __init__(self, student: Backbone | TokenMaps, teacher: Backbone, classes: int) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher.eval().requires_grad_(False)
        pairs = zip(student.channels, teacher.channels, strict=True)
        self.translate = nn.ModuleList(nn.Conv2d(own, other, 1) for own, other in pairs)
        self.classify = nn.Linear(student.channels[-1], classes)

    def losses(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy, and the mean squared error of the maps in units of the teacher's variance."""
        maps = self.student(images)
        with torch.no_grad():
            shown = zip(self.teacher(images), maps, strict=True)
            targets = [adaptive_avg_pool2d(target, own.shape[2:]) for target, own in shown]
            targets = [target / target.std() for target in targets]
        errors = [
            mse_loss(layer(own), target) for layer, own, target in zip(self.translate, maps, targets, strict=True)
        ]
        return cross_entropy(self.classify(maps[-1].mean((2, 3))), labels), torch.stack(errors).sum()


def train(model: Distillation, store: Store, dataset: Dataset, epochs: int, learning_rate: float) -> None:
    """Trains in place on the official training images, randomly mirrored."""
    learning = [*model.student.parameters(), *model.translate.parameters(), *model.classify.parameters()]
    optimizer = torch.optim.AdamW(learning, learning_rate, weight_decay=WEIGHT_DECAY)
    labels = torch.from_numpy(dataset.labels)
    rows = torch.from_numpy(dataset.is_train).nonzero().flatten()
    steps = len(rows) // BATCH
    model.student.train()
    for epoch in range(epochs):
        sums = torch.zeros(3)
        for step, batch in enumerate(rows[torch.randperm(len(rows))].split(BATCH)[:steps]):
            optimizer.param_groups[0]["lr"] = learning_rate * lr_factor(
                Schedule(warmup_epochs=0.25), epochs, epoch + step / steps
            )
            images = normalise(store.images(batch.numpy())[0])
            images = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, images.flip(-1), images)
            named, imitated = model.losses(images, labels[batch])
            optimizer.zero_grad()
            (named + IMITATION * imitated).backward()
            nn.utils.clip_grad_norm_(learning, CLIP_NORM)
            optimizer.step()
            sums += torch.stack([named.detach(), imitated.detach(), torch.tensor(1.0)])
        named, imitated = (sums[:2] / sums[2]).tolist()
        typer.echo(f"epoch {epoch + 1}/{epochs}: cross-entropy {named:.3f}, maps {imitated:.3f}")


@torch.no_grad()
def accuracy(model: Distillation, store: Store, dataset: Dataset) -> float:
    """Percent of the test images that the student classifies correctly."""
    model.eval()
    rows = torch.from_numpy(~dataset.is_train).nonzero().flatten()
    labels = torch.from_numpy(dataset.labels)
    right = 0
    for batch in rows.split(BATCH):
        maps = model.student(normalise(store.images(batch.numpy())[0]))
        right += int((model.classify(maps[-1].mean((2, 3))).argmax(1) == labels[batch]).sum())
    return 100 * right / len(rows)


def main(name: str, epochs: int = 0) -> None:
    """Trains the student of this weight file, in as many epochs as it says by default, and writes the file."""
    torch.manual_seed(0)
    pupil = STUDENTS[name]
    epochs = epochs or pupil.epochs
    options = read_yaml(FOLDER / "pretrain.yaml")["train"][0]["datasets"][0]["options"]
    options |= {"train_per_class": pupil.train_per_class}
    dataset = open_dataset("synthetic", options=options)
    store = open_store(dataset, SIZE, "squash")
    student = pupil.build()
    teacher = TimmBackbones(TEACHER, SIZE, TEACHER_WEIGHTS).features(pupil.teacher_taps)
    model = Distillation(student, teacher, len(dataset.classes))
    train(model, store, dataset, epochs, pupil.learning_rate)
    typer.echo(f"top-1 on {int((~dataset.is_train).sum())} test images: {accuracy(model, store, dataset):.1f} %")
    origin = {"made_by": "benchmarks.shipped_weights.distil", "teacher": TEACHER_WEIGHTS, "epochs": str(epochs)}
    write_backbone(name, student.net.state_dict(), origin | {"dataset": "synthetic", "options": str(options)})


if __name__ == "__main__":
    typer.run(main)
