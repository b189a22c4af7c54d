"""Suites and `--set`: a plan, or one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.environment import Environment
from benchmarks.planning import expand, overrides, suite
from benchmarks.planning.overrides import nested, parse_assignments
from results.settings import Run
from tests.helpers.fuzzing import NASTY, Fuzz, damaged, damaged_text, damaged_values

SUITE: dict[str, Any] = {
    "about": "for the fuzz tests",
    "train": [
        {
            "methods": ["plain", "sef:paper"],
            "datasets": [{"name": "synthetic", "options": {"classes": 3, "train_per_class": 4, "test_per_class": 2}}],
            "backbones": [{"name": "test_resnet", "pretrained": "none", "options": {"drop_rate": 0.1}}],
            "seeds": [0, 7],
            "protocol": "common",
            "set": {
                "recipe": {
                    "image_size": 64,
                    "batch_size": 4,
                    "epochs": 2,
                    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "betas": [0.9, 0.99]},
                    "schedule": {"name": "step", "every": 1, "gamma": 0.5, "warmup_epochs": 0.5},
                    "augment": {"crop": "resized", "scale": [0.5, 1.0], "brightness": 0.4, "mixing": {"mixup": 0.0}},
                    "lr_scale": {"head": 10},
                    "scaling": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
                },
                "precision": "fp32",
            },
        }
    ],
    "profile": [
        {
            "methods": ["plain"],
            "backbones": ["test_resnet"],
            "image_sizes": [64],
            "batch_sizes": [1, 2],
            "precisions": ["fp32"],
            "compile": [False],
            "extras": ["operations"],
            "memory_limit": 10**9,
        }
    ],
}
SETTINGS = (
    *("epochs", "optimizer.lr", "optimizer.betas", "image_size"),
    *("augment.mixing", "phases.all.epochs", "lr_scale.head"),
    *("options", "options.groups", "backbone_options", "backbone_options.checkpoint_path", "dataset_options.size"),
    *("dataset_options.crop", "dataset_options.classes"),
    *("dataset_options", "split_name", "pretrained", "allow_unfilled", "precision", "recipe", "recipe.scaling", "x"),
)


def planned(file: Path) -> list[str]:
    """Ids of the Runs, whose settings are then such that a record can hold them."""
    runs = expand.expand(suite.load(str(file)), Environment())
    for run in runs:
        assert type(run).model_validate_json(run.model_dump_json()).hash == run.hash
    return [run.id for run in runs]


def test_a_suite_is_planned_or_refused(fuzz: Fuzz, tmp_path: Path) -> None:
    file = tmp_path / "fuzzed.yaml"
    text = yaml.safe_dump(SUITE)
    for draw in fuzz.draws("suite", 120):
        content = text.encode()
        match draw.randrange(5):
            case 0:
                content = damaged_text(text, draw).encode("utf-8", "surrogatepass")
            case 1:
                content = damaged(content, draw)
            case _:
                content = yaml.safe_dump(damaged_values(SUITE, draw), allow_unicode=True).encode()
        file.write_bytes(content)
        fuzz.attempt(lambda: planned(file))
        assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_setting_by_hand_is_planned_or_refused(fuzz: Fuzz) -> None:
    chosen = suite.Suite.model_validate(SUITE | {"profile": []})

    def expanded(assignments: list[str]) -> None:
        changes = overrides.Changes(set=nested(parse_assignments(assignments, "--set")))
        for run in expand.expand(chosen, Environment(), changes):
            assert isinstance(run, Run)
            assert Run.model_validate_json(run.model_dump_json()).hash == run.hash

    for draw in fuzz.draws("--set", 120):
        assignments = [f"{draw.choice(SETTINGS)}={draw.choice(NASTY)}" for _ in range(draw.choice((1, 1, 2)))]
        if draw.randrange(3) == 0:
            assignments[0] = damaged_text(assignments[0], draw)
        fuzz.attempt(lambda given=assignments: expanded(given))
