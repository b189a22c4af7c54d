"""The model card of a shared network: Markdown with the front matter that hubs read, made from the Run's record."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator, Sequence

from tabulate import tabulate

from benchmarks.planning.method_files import method_file
from datasets import reader_classes
from results.record import SELECTIONS, Record, Selection
from results.settings import Run, method_label
from results.values.text import in_markdown, one_line, visible

SELECTED: dict[Selection, str] = {
    "last": "last epoch, which this file holds",
    "validation": "best on the validation slice",
    "best_on_test": "best on the test set (optimistic)",
}
"""The epoch that an accuracy belongs to, in words."""

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
TIMM = """\
    import timm

    model = timm.create_model("hf-hub:OWNER/NAME", pretrained=True).eval()      # from a hub
    model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()       # from this folder
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))

timm resizes with other rounding than fgbench: probabilities differ by some thousandths.
"""
FGBENCH = """\
    python run_all.py predict FOLDER bird.jpg

    import methods                                # in a checkout of fgbench
    model = methods.build(trained="FOLDER")       # an nn.Module: images (B, 3, H, W) -> logits (B, K)
"""


def model_card(record: Record, seeds: Sequence[Record], timm: bool) -> str:
    """The card of a finished training.

    `seeds` are the finished Runs of the same experiment, this one included; `timm` says whether timm loads the folder.
    """
    run = record.run
    assert isinstance(run, Run)
    parts = [_front_matter(record, timm), _title(run), _accuracies(record, seeds), _use(run, timm), _images(run)]
    parts += [_origin(record), _remarks(record), _settings(run), _classes(record.split["class_names"])]
    return "\n".join(part for part in parts if part)


def _front_matter(record: Record, timm: bool) -> str:
    repositories = dict.fromkeys(str(file.get("repository")) for file in record.weights)
    bases = [json.dumps(name) for name in repositories if HUB_NAME.fullmatch(name)]  # a JSON string is a YAML string
    tags = ["image-classification", "fine-grained", "fgbench", *(["timm"] if timm else [])]
    base = ["base_model:", *(f"- {one}" for one in bases)] if bases else []
    lines = [f"library_name: {'timm' if timm else 'fgbench'}", "pipeline_tag: image-classification", "tags:"]
    return "\n".join(["---", *lines, *(f"- {tag}" for tag in tags), *base, "---", ""])


def _title(run: Run) -> str:
    file = method_file(run.method)
    paper = file.paper
    source = f" From: {paper.authors}, “{paper.title}”, {paper.venue} {paper.year}." if paper else ""
    link = f" <{paper.url}>" if paper and paper.url else ""
    name = _text(f"{method_label(run.method, run.variant)} on {run.task}, {run.backbone}")
    return f"# {name}\n\n{_text(file.summary)}{_text(source)}{link}\nTrained and measured with fgbench.\n"


def _accuracies(record: Record, seeds: Sequence[Record]) -> str:
    run = record.run
    assert isinstance(run, Run)
    others = sorted(seeds, key=lambda one: one.run.replicate)
    numbers = ", ".join(str(one.run.replicate) for one in others)
    spread = len(others) > 1
    rows = [
        {
            "weights of": SELECTED[name],
            "epoch": found.epoch,
            "top-1, %": f"{100 * found.top1:.1f}",
            "top-5, %": f"{100 * found.top5:.1f}",
            "mean over classes, %": f"{100 * found.mean_class:.1f}",
            **({f"top-1, %, seeds {numbers}": _spread(others, name)} if spread else {}),
        }
        for name in SELECTIONS
        if (found := record.metrics.get(name)) is not None
    ]
    table = tabulate(rows, "keys", "pipe", disable_numparse=True)
    about = f"On the {record.split.get('test', '?')} test images of {_text(run.task)}; this is seed {run.replicate}."
    return f"## Accuracy\n\n{about}\n\n{table}\n"


def _spread(records: Sequence[Record], selection: Selection) -> str:
    """Mean ± sample standard deviation of the top-1, in percent."""
    values = [100 * one.metrics[selection].top1 for one in records if selection in one.metrics]
    if len(values) < 2:
        return "–"
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def _use(run: Run, timm: bool) -> str:
    precision = {
        "fp32": "",
        "tf32": "\nIt was evaluated with TensorFloat-32: `torch.set_float32_matmul_precision('high')`.\n",
        "bf16": "\nIt was evaluated within `torch.autocast(device, dtype=torch.bfloat16)`.\n",
    }[run.precision]
    with_timm = f"With timm:\n\n{TIMM}\n" if timm else ""
    return f"## How to use it\n\n{with_timm}With fgbench:\n\n{FGBENCH}{precision}"


def _images(run: Run) -> str:
    recipe = run.recipe
    sides = {"squash": "both sides", "short_side": "the short side"}[recipe.resize]
    return (
        f"Images are resized to {recipe.stored_size} px ({sides}; bilinear, antialiased), cut to the central "
        f"{recipe.image_size} × {recipe.image_size} px, and normalised with {run.scaling} (RGB, 0 .. 1).\n"
    )


def _origin(record: Record) -> str:
    run = record.run
    assert isinstance(run, Run)
    counts = ", ".join(
        f"{record.split[name]} {name}" for name in ("train", "validation", "test") if name in record.split
    )
    reader = reader_classes().get(run.dataset)
    terms = reader.terms if reader else "a folder of the trainer's own: ask there"
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    tree = {True: "", False: ", with uncommitted changes", None: ""}[record.clean]
    facts = {
        "dataset": f"{run.task} ({counts} images; {record.split.get('classes', '?')} classes)",
        "SHA-256 of its split": run.split_sha256,
        "its terms of use": terms,
        "backbone": run.backbone,
        "its first weights": "\n".join(_weights(record)) or "random",
        "recipe": f"{run.protocol}, {run.recipe.epochs} epochs, seed {run.seed}, {run.precision}",
        "made": f"{record.started:%Y-%m-%d}, by fgbench at commit {record.commit or 'unknown'}{tree}",
        "with": versions or "unknown",
        "on": str(record.hardware.get("name", "unknown")),
        "Run": record.id,
    }
    rows = [(name, "<br>".join(map(_text, value.splitlines()))) for name, value in facts.items()]
    table = tabulate(rows, ["", ""], "pipe", disable_numparse=True)
    licence = (
        "No licence is chosen here. What may be done with these weights depends on the terms of the images and of the "
        "first weights; state one before you share them."
    )
    return f"## Where it comes from\n\n{table}\n\n{licence}\n"


def _weights(record: Record) -> Iterator[str]:
    """A line for each weight file that the training began with."""
    for file in record.weights:
        known = {key: file[key] for key in ("repository", "revision", "sha256") if file.get(key)}
        words = ", ".join(f"{'SHA-256' if key == 'sha256' else key} {value}" for key, value in known.items())
        yield f"{file.get('file')} for {file.get('backbone')} ({words})"


def _remarks(record: Record) -> str:
    """What a reader of the accuracy should know."""
    remarks = [*(f"Changed by hand: {one}" for one in record.changed), *record.deviations, *record.notes]
    listed = "\n".join(f"- {_text(remark)}" for remark in remarks)
    return f"## Remarks\n\n{listed}\n" if remarks else ""


def _settings(run: Run) -> str:
    return _folded("All settings that are not at their defaults", run.settings)


def _classes(names: Sequence[str]) -> str:
    return _folded(f"The {len(names)} classes, in the order of the logits", list(names))


def _folded(title: str, values: object) -> str:
    """Values as JSON behind a heading that opens them. A string of JSON holds no line break, so it ends no fence."""
    text = visible(json.dumps(values, indent=1, ensure_ascii=False))
    return f"<details><summary>{title}</summary>\n\n```json\n{text}\n```\n\n</details>\n"


def _text(text: str) -> str:
    return in_markdown(one_line(text))
