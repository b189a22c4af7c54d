"""The model card says what the record says, and text from outside stays text."""

from __future__ import annotations

import json
from typing import Any

import yaml

from benchmarks.sharing.model_card import model_card
from results.record import Record
from tests.helpers.fakes.fake_results import HOSTILE, SPLIT, trained

NAMES = ["001.Black_footed_Albatross", HOSTILE, "```\n# a heading"]


def record(seed: int = 0, top1: float = 0.8, **changes: Any) -> Record:
    return trained("sef", seed, top1, split=SPLIT | {"class_names": NAMES}, **changes)


def front_matter(card: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return values


def test_accuracies_are_those_of_the_run_and_of_all_its_seeds() -> None:
    seeds = [record(seed, top1) for seed, top1 in ((2, 0.82), (0, 0.8), (1, 0.81))]
    card = model_card(seeds[0], seeds, timm=False)
    (row,) = [line for line in card.splitlines() if "last epoch, which this file holds" in line]
    assert [cell.strip() for cell in row.split("|")][2:-1] == ["10", "82.0", "95.0", "82.0", "81.0 ± 1.0"]
    assert "seeds 0, 1, 2" in card
    assert "this is seed 2" in card
    assert "seeds" not in model_card(seeds[0], seeds[:1], timm=False).partition("## How to use")[0]


def test_origin_is_stated() -> None:
    weights = {"backbone": "resnet50", "file": "resnet50.tv_in1k.safetensors", "sha256": "6" * 64, "unfilled": []}
    weights |= {"repository": "timm/resnet50.tv_in1k", "revision": "abc123"}
    made = record(weights=[weights], changed=["epochs: 2 in place of 160"], dataset="cub_200_2011")
    card = model_card(made, [made], timm=True)
    for stated in (SPLIT["sha256"], "6" * 64, "abc123", "abc1234", "torch 2.8.0", "Semantically Enhanced", made.id):
        assert stated in card.replace("\\", "")
    assert "non-commercial research and education" in card
    assert "Changed by hand: epochs: 2 in place of 160" in card
    assert front_matter(card)["base_model"] == ["timm/resnet50.tv_in1k"]
    assert front_matter(card)["library_name"] == "timm"
    assert "timm.create_model" in card


def test_hostile_names_stay_text() -> None:
    weights = {"backbone": "resnet50", "file": HOSTILE, "repository": f'x"\n---\n{HOSTILE}', "sha256": "6" * 64}
    made = record(dataset=HOSTILE, notes=[HOSTILE], weights=[weights], hardware={"name": HOSTILE})
    card = model_card(made, [made], timm=False)
    outside, *fenced = card.split("```json\n")
    assert "<script>" not in outside
    assert "\x1b" not in card
    assert [block.count("\n```\n") for block in fenced] == [1, 1]
    assert json.loads(fenced[1].partition("\n```\n")[0])[0] == NAMES[0]
    assert front_matter(card).keys() == {"library_name", "pipeline_tag", "tags"}
