"""A network whose activations can't be checkpointed is refused before anything starts."""

from __future__ import annotations

import pytest

from benchmarks.environment import Environment, Execution
from benchmarks.errors import UserError
from benchmarks.planning import expand
from benchmarks.planning.checks import require_startable
from benchmarks.planning.suite import Suite
from results.settings import AnyRun
from tests.helpers.small_training import small_run

CHECKPOINTED = Environment(execution=Execution(checkpointing=True))


def measured(backbone: str, checkpointing: bool) -> list[AnyRun]:
    entry = {"methods": ["plain"], "backbones": [backbone], "image_sizes": [64], "checkpointing": [checkpointing]}
    return expand.expand(Suite.model_validate({"about": "x", "profile": [entry]}), Environment())


def test_a_training_is_refused_in_one_line_where_timm_does_not_checkpoint_its_network() -> None:
    run = small_run(backbone={"name": "vgg11", "pretrained": "none"})
    require_startable([run], Environment())
    with pytest.raises(UserError, match="can't checkpoint the activations of VGG") as refused:
        require_startable([run], CHECKPOINTED)
    assert "\n" not in str(refused.value)
    require_startable([small_run()], CHECKPOINTED)


def test_so_is_a_profile_that_asks_for_it() -> None:
    require_startable(measured("vgg11", False), CHECKPOINTED)
    with pytest.raises(UserError, match="can't checkpoint the activations of VGG"):
        require_startable(measured("vgg11", True), Environment())
