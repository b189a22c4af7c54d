"""Settings: a wrong one is answered in one line, an equal one has an equal hash."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from benchmarks.config import deep_merge, read_yaml
from benchmarks.errors import UserError, require_known
from benchmarks.planning import overrides, recipes, suite
from results.recipe import Recipe
from results.settings import Run


def a_run(**changes: object) -> Run:
    values = {
        "method": "plain",
        "variant": "paper",
        "dataset": "synthetic",
        "backbone": "test_resnet",
        "split_sha256": "0" * 64,
        "pretrained": "none",
        "protocol": "common",
        "recipe": recipes.recipe_for("plain", "paper", "common", "synthetic", "test_resnet", {}),
        "seed": 0,
    }
    return Run.model_validate(values | changes)


def test_equal_settings_have_equal_hashes_in_every_process() -> None:
    assert a_run().hash == a_run().hash
    fixed = Run.model_validate(a_run().model_dump() | {"recipe": FIXED_RECIPE})
    assert fixed.hash[:16] == FIXED_HASH, "a change of the hash orphans every stored result: raise RULES on purpose"


def test_a_run_with_mixing_is_not_the_one_that_drew_a_share_per_image() -> None:
    mixed = FIXED_RECIPE | {"augment": {"mixing": {"mixup": 0.2}}}
    run = a_run(recipe=Recipe.model_validate(mixed))
    assert run.hash[:16] != MIXED_PER_IMAGE_HASH
    off = FIXED_RECIPE | {"augment": {"mixing": {"mixup": 0.2, "probability": 0}}}
    assert "mixing_rules" not in a_run(recipe=Recipe.model_validate(off)).settings


FIXED_RECIPE = {
    "image_size": 64,
    "stored_size": 64,
    "batch_size": 8,
    "epochs": 1,
    "optimizer": {"lr": 0.1},
}
FIXED_HASH = "1b5c514a46ecc439"
MIXED_PER_IMAGE_HASH = "a77bb5b3ecbf5cd7"


class LaterRecipe(Recipe):
    """As a later version may have it: with one more setting."""

    warmth: float = 0.5


class LaterRun(Run):
    """The same."""

    recipe: LaterRecipe
    patience: int | None = None


def test_a_new_setting_orphans_no_earlier_result_unless_it_is_used() -> None:
    values = a_run().model_dump()
    later = LaterRun.model_validate(values)
    assert (later.id, later.experiment) == (a_run().id, a_run().experiment)
    assert LaterRun.model_validate(values | {"patience": 3}).hash != a_run().hash
    warm = LaterRun.model_validate(values | {"recipe": values["recipe"] | {"warmth": 0.6}})
    assert warm.hash != a_run().hash


def test_an_experiment_is_its_settings_but_the_seed() -> None:
    assert a_run(seed=1).experiment == a_run(seed=2).experiment
    assert a_run(seed=1).experiment != a_run(seed=1, precision="bf16").experiment


def other(value: object) -> object:
    """A value of the same kind that differs."""
    if isinstance(value, dict):
        return {**value, "another": 1}
    if isinstance(value, bool) or value is None:
        return not value
    return f"{value}x" if isinstance(value, str) else 2 if value == 1 else 1


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("key", sorted(set(Run.model_fields) - {"recipe"}))
def test_every_setting_changes_the_hash(key: str) -> None:
    assert a_run().model_copy(update={key: other(getattr(a_run(), key))}).hash != a_run().hash


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("key", sorted(Recipe.model_fields))
def test_every_setting_of_the_recipe_changes_the_hash(key: str) -> None:
    recipe = a_run().recipe
    value = getattr(recipe, key)
    if isinstance(value, BaseModel):
        first = next(iter(type(value).model_fields))
        changed = value.model_copy(update={first: other(getattr(value, first))})
    else:
        changed = other(value)
    assert a_run().model_copy(update={"recipe": recipe.model_copy(update={key: changed})}).hash != a_run().hash


def test_a_run_is_frozen() -> None:
    with pytest.raises(ValidationError):
        a_run().seed = 3  # type: ignore[misc]


def test_an_id_is_a_safe_folder_name() -> None:
    run_id = a_run(dataset="../my birds/é").id
    assert "/" not in run_id
    assert " " not in run_id
    assert not run_id.startswith(".")


def test_a_wrong_name_is_answered_with_the_nearest_right_one() -> None:
    with pytest.raises(UserError, match="did you mean 'bilinear_cnn'"):
        require_known("method", "bilinear_cn", ["plain", "bilinear_cnn"])
    with pytest.raises(UserError, match="there are: plain, sef"):
        require_known("method", "xyzzy", ["plain", "sef"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"epocs": 3}, "epocs: unknown key; did you mean 'epochs'"),
        ({"augment": {"flp": 1}}, "augment.flp: unknown key; did you mean 'flip'"),
        ({"optimizer": {"name": "sgdd"}}, "optimizer.name"),
        ({"batch_size": 0}, "batch_size"),
        ({"validation": 1.5}, "validation"),
        ({"phases": {"all": {"epoch": 1}}}, "did you mean 'epochs'"),
    ],
)
def test_a_wrong_recipe_is_answered_in_one_line(overrides: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        recipes.recipe_for("plain", "paper", "common", "synthetic", "test_resnet", overrides)
    assert "\n" not in str(caught.value)


def test_broken_yaml_is_answered_with_file_and_line(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("about: x\ntrain: [\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.yaml: line \d+"):
        read_yaml(path)


def test_a_typo_in_a_suite_is_answered_with_the_nearest_key(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("about: x\ntrain:\n  - {methods: [plain], dataset: [synthetic]}\n", encoding="utf-8")
    with pytest.raises(UserError, match="did you mean 'datasets'"):
        suite.load(str(path))


def test_assignments_become_nested_settings() -> None:
    pairs = overrides.parse_assignments(["epochs=3", "augment.flip=0", "options.tap=32", "pretrained=none"], "--set")
    assert overrides.nested(pairs) == {
        "recipe": {"epochs": 3, "augment": {"flip": 0}},
        "options": {"tap": 32},
        "pretrained": "none",
    }
    with pytest.raises(UserError, match="key=value"):
        overrides.parse_assignments(["epochs"], "--set")


def test_the_last_of_merged_dictionaries_is_on_top() -> None:
    assert deep_merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3}, "d": [2]}) == {"a": {"b": 3, "c": 2}, "d": [2]}
