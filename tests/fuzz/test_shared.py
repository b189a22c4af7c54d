"""The folder of a shared network: loaded, or refused in one line; nothing in it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import methods
from methods import trained
from methods.trained import CONFIG, MODEL, OURS
from tests.helpers.fuzzing import NASTY, Fuzz, damaged, damaged_text, damaged_values

OPTIONS = ("maps", "tap", "crop", "reduction", "pooling", "checkpoint_path", "stem_type", "drop_path_rate")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small WS-DAN, as `publish --share` writes one."""
    settings = {"method": "ws_dan", "options": {"maps": 2}, "backbone": "test_resnet", "class_names": ["a", "b"]}
    method = methods.build("ws_dan", "test_resnet", 2, image_size=32, maps=2)
    save_file(method.state_dict(), tmp_path / MODEL)
    described = trained.Trained.model_validate(settings | {"image_size": 32, "stored_size": 36})
    (tmp_path / CONFIG).write_text(json.dumps({OURS: described.model_dump(mode="json")}), encoding="utf-8")
    return tmp_path


def changed(values: dict[str, Any], draw: Any) -> bytes:
    match draw.randrange(4):
        case 0:
            return damaged(json.dumps(values).encode(), draw)
        case 1:
            return damaged_text(json.dumps(values), draw).encode("utf-8", "surrogatepass")
        case 2:
            return json.dumps(damaged_values(values, draw)).encode()
        case _:
            place = values[OURS][draw.choice(("options", "backbone_options"))]
            place[draw.choice(OPTIONS)] = draw.choice(NASTY)
            return json.dumps(values).encode()


def test_a_shared_network_is_loaded_or_refused(fuzz: Fuzz, folder: Path) -> None:
    config, model = folder / CONFIG, folder / MODEL
    text, content = config.read_bytes(), model.read_bytes()
    for draw in fuzz.draws("shared network", 80):
        if draw.randrange(4):
            config.write_bytes(changed(json.loads(text), draw))
        else:
            head = draw.choice((4000, len(content)))  # where names and shapes are, or anywhere
            model.write_bytes(damaged(content[:head], draw) + content[head:])
        found = fuzz.attempt(lambda: trained.load(folder))
        if found is not None:
            known, method = found
            with torch.no_grad():
                logits = method(torch.zeros(1, 3, known.image_size, known.image_size))
            assert logits.shape == (1, len(known.class_names)), fuzz.where
        config.write_bytes(text)
        model.write_bytes(content)
