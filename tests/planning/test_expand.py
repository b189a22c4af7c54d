"""Plans: a suite expands to the Runs it says, narrowed and changed as the command line asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import methods
from benchmarks.cli.views import preview
from benchmarks.environment import Environment, Execution
from benchmarks.errors import UserError
from benchmarks.estimates import images
from benchmarks.planning import expand, suite, suite_builders, support
from benchmarks.planning.overrides import Changes
from benchmarks.planning.suite import DatasetChoice, Suite
from datasets import DatasetError
from methods.errors import BackboneError
from methods.weight_files import SHIPPED_WEIGHTS
from results.settings import ProfileRun, Run
from results.store import ResultStore
from tests.helpers.small_folders import small_cub
from tests.helpers.small_suites import SUITE

REPOSITORY = Path(__file__).parents[2]


def test_a_suite_expands_to_the_product_of_its_lists(here: Environment) -> None:
    runs = expand.expand(SUITE, here)
    trainings = [run for run in runs if isinstance(run, Run)]
    assert [(run.method, run.seed) for run in trainings] == [
        ("plain", 0),
        ("plain", 1),
        ("bilinear_cnn", 0),
        ("bilinear_cnn", 1),
    ]
    assert [run.batch_size for run in runs if isinstance(run, ProfileRun)] == [2, 4]
    assert len({run.hash for run in runs}) == len(runs)


def test_all_methods_are_those_that_can_use_the_backbone(here: Environment) -> None:
    entries = [entry.model_dump() | {"methods": "all"} for entry in (SUITE.train[0], SUITE.profile[0])]
    every = Suite.model_validate({"about": "", "train": [entries[0] | {"seeds": 1}], "profile": [entries[1]]})
    runs = expand.expand(every, here, Changes(only={"batch_size": "2,32"}))
    of_transformers = {"transfg", "ffvt", "ielt", "glsim", "swinfc"}
    assert {run.method for run in runs} == set(methods.available()) - of_transformers
    assert runs[0].method == "plain", "baselines first"
    lines = support.left_out(every)
    assert {line.split()[2] for line in lines} == of_transformers
    assert all(f"on test_resnet: ResNet {fault}" in " ".join(lines) for fault in ("is no Swin", "gives no tokens"))
    assert support.left_out(SUITE) == []
    swin = entries[1] | {"methods": ["swinfc"], "skip_unsupported": False}
    elsewhere = Suite.model_validate({"about": "", "train": [entries[0]], "profile": [swin]})
    named = {line.split()[2] for line in support.left_out(elsewhere)}
    assert named == of_transformers - {"swinfc"}, "it runs on another backbone"
    with pytest.raises(UserError, match="no Swin"):
        expand.expand(Suite.model_validate({"about": "", "profile": [swin]}), here)


def test_the_same_run_asked_for_twice_stands_once(here: Environment) -> None:
    doubled = SUITE.model_copy(update={"train": [*SUITE.train, *SUITE.train]})
    assert len(expand.expand(doubled, here)) == len(expand.expand(SUITE, here))


def test_a_list_of_classes_is_one_dataset_in_any_order(tmp_path: Path) -> None:
    small_cub(tmp_path)
    own_split = Changes(set={"split_name": "small"})
    runs = {
        run.id
        for classes in (["001.Auk", "003.Owl"], ["003.Owl", "001.Auk"])
        for run in expand.expand(suite_of("cub_200_2011", {"classes": classes}), Environment(tmp_path, None), own_split)
    }
    assert len(runs) == 1


def suite_of(dataset: str, options: dict[str, Any]) -> Suite:
    entry = SUITE.train[0].model_dump() | {"methods": ["plain"], "datasets": [{"name": dataset, "options": options}]}
    return Suite.model_validate({"about": "for tests", "train": [entry | {"seeds": 1}]})


def test_a_profile_of_nothing_is_answered_in_one_line() -> None:
    for sizes, batches in ([0], [1]), ([32], [0]):
        with pytest.raises(UserError, match="profile: profile"):
            suite_builders.profile(["plain"], ["test_resnet"], sizes, batches)


def test_a_plan_names_unknown_things_before_anything_runs(here: Environment) -> None:
    for wrong, error, said in [
        ({"methods": ["plane"]}, UserError, "did you mean 'plain'"),
        ({"methods": ["bilinear_cnn:papr"]}, UserError, "did you mean 'paper'"),
        ({"datasets": ["synthetc"]}, DatasetError, "synthetic"),
        ({"backbones": ["test_resnt"]}, BackboneError, "test_resnet"),
    ]:
        entry = SUITE.train[0].model_dump() | wrong
        with pytest.raises(error, match=said):
            expand.expand(Suite.model_validate({"about": "x", "train": [entry]}), here)


@pytest.mark.parametrize("kind", ["train", "profile"])
def test_a_network_without_the_attention_that_a_method_reads_is_refused_before_anything_runs(
    kind: str, here: Environment
) -> None:
    entry = SUITE.model_dump()[kind][0] | {"methods": ["swinfc"]}
    with pytest.raises(UserError, match=r"swinfc.*test_resnet.*no Swin"):
        expand.expand(Suite.model_validate({"about": "x", kind: [entry]}), here)
    swin = {"backbones": [{"name": "swin_tiny_patch4_window7_224", "pretrained": "none"}]}
    for fit in swin, {"methods": ["swinfc:eaca_ffm"]}:  # which selects no patches
        assert expand.expand(Suite.model_validate({"about": "x", kind: [entry | fit]}), here)


def test_weights_that_are_not_there_are_not_silently_done_without(here: Environment) -> None:
    entry = SUITE.train[0].model_dump() | {"backbones": ["resnet18"]}
    with pytest.raises(BackboneError, match="pretrained=none"):
        expand.expand(Suite.model_validate({"about": "x", "train": [entry]}), here)


def test_a_wrong_name_to_reproduce_is_no_lack_of_data(here: Environment) -> None:
    with pytest.raises(BackboneError, match="resnet50"):
        suite_builders.targets("plain", here, backbone="resnt50")
    with pytest.raises(DatasetError, match="synthetic"):
        suite_builders.targets("plain", here, dataset="synthetik")
    (target,) = suite_builders.targets("plain", here, "synthetic", "test_resnet", changes={"pretrained": "none"})
    assert target.lacking is None


def test_images_too_small_for_their_crop_are_refused(here: Environment) -> None:
    with pytest.raises(UserError, match="stored_size"):
        expand.expand(SUITE, here, Changes(set={"recipe": {"image_size": 300, "stored_size": 256}}))


@pytest.mark.parametrize(
    ("of_suite", "of_command", "sizes"),
    [
        ({}, {"image_size": 64}, (64, 74)),  # 64 · 256 / 224, rounded up
        ({}, {"image_size": 64, "stored_size": 100}, (64, 100)),
        ({"image_size": 448}, {}, (448, 512)),
        ({"image_size": 96, "stored_size": 96}, {"image_size": 64}, (64, 64)),
        ({"image_size": 96, "stored_size": 112}, {"epochs": 2}, (96, 112)),
        ({"stored_size": 320}, {}, (224, 320)),
    ],
    ids=str,
)
def test_images_are_stored_in_proportion_to_their_crop_unless_asked_otherwise(
    of_suite: dict[str, int], of_command: dict[str, int], sizes: tuple[int, int], here: Environment
) -> None:
    entry = SUITE.train[0].model_copy(update={"set": {"recipe": of_suite}})
    one = SUITE.model_copy(update={"train": [entry], "profile": []})
    for run in expand.expand(one, here, Changes(set={"recipe": of_command})):
        assert isinstance(run, Run)
        assert (run.recipe.image_size, run.recipe.stored_size) == sizes
        assert preview.rows([run], ResultStore(Path("nowhere")), here)[0]["stored px"] == sizes[1]


def test_work_is_counted_in_images(here: Environment) -> None:
    run = expand.expand(SUITE, here, Changes(set={"recipe": {"epochs": 3, "validation": 0.5}}))[0]
    assert isinstance(run, Run)
    todo = images.of_run(run, here)
    assert (todo.learnt, todo.evaluated) == (3 * 3, 3 * (3 + 3))


def test_reproduce_says_what_is_lacking_instead_of_guessing(here: Environment) -> None:
    targets = suite_builders.targets("bilinear_cnn", here)
    assert targets
    assert all(target.lacking for target in targets)
    assert suite_builders.reproduce("bilinear_cnn", targets, seeds=1).train == []


def test_known_weight_files_bring_their_options(real_data: Path, real_weights: Path) -> None:
    environment = Environment(real_data, real_weights)
    run, profiled = expand.expand(
        suite_builders.compare(["plain"], "cub100", ["mobilenetv2_100"], 1, environment, {}), environment
    )
    assert isinstance(run, Run)
    assert isinstance(profiled, ProfileRun)
    assert run.backbone_options == profiled.backbone_options == {"pad_type": "same"}
    assert profiled.classes == 100
    assert run.pretrained == "mobilenetv2_100.safetensors"


@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_compared_is_measured_as_it_is_trained(here: Environment, compiled: bool) -> None:
    environment = replace(here, execution=Execution(compile=compiled))
    chosen = suite_builders.compare(["plain"], "synthetic", ["test_resnet"], 1, environment, {"pretrained": "none"})
    assert [entry.compile for entry in chosen.profile] == [[compiled]]


def test_methods_are_compared_on_several_backbones(here: Environment) -> None:
    networks = ["test_resnet", "test_vit", "test_resnet"]
    chosen = suite_builders.compare(["plain", "sef"], "synthetic", networks, 2, here, {"pretrained": "none"})
    runs = expand.expand(chosen, here, Changes(set={"pretrained": "none"}))
    trained = [run for run in runs if isinstance(run, Run)]
    assert len(trained) == 2 * 2 * 2, "a backbone that is named twice is trained once"
    assert {run.backbone for run in trained} == {run.backbone for run in runs} == {"test_resnet", "test_vit"}


def profiled_networks(network: object, environment: Environment, **asked: object) -> list[dict[str, object]]:
    entry = {"methods": ["plain"], "backbones": [network], "image_sizes": [96]}
    runs = expand.expand(Suite.model_validate({"about": "x", "profile": [entry]}), environment, Changes(set=asked))
    return [run.backbone_options for run in runs]


def test_a_profile_is_of_the_network_that_trains(here: Environment) -> None:
    swin = {"name": "swin_tiny_patch4_window7_224", "pretrained": "test_swin_birds"}
    (options,) = profiled_networks(swin, here)
    assert options["embed_dim"] == 32
    assert profiled_networks(swin | {"options": {"embed_dim": 64}}, here)[0]["embed_dim"] == 64
    assert profiled_networks(swin, here, pretrained="none") == [{}]


def test_a_profile_needs_no_weights_but_a_file_that_is_named_has_to_be_there(here: Environment) -> None:
    assert profiled_networks("resnet50", here) == [{}]
    with pytest.raises(BackboneError, match="not there"):
        profiled_networks({"name": "resnet50", "pretrained": "mine"}, here)


def test_the_committed_profiles_are_those_of_the_quick_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next quick run would measure again what is committed, and the two would stand in two rows."""
    committed = ResultStore(REPOSITORY / "results" / "reference").records()
    of_quick = [one for one in committed if one.run.job == "profile" and one.run.image_size == 96]
    (hardware,) = {str(one.run.hardware) for one in of_quick}
    monkeypatch.setattr("benchmarks.hardware.device_name", lambda _: hardware)
    planned = [run.id for run in expand.expand(suite.load("quick"), Environment()) if isinstance(run, ProfileRun)]
    assert sorted(one.id for one in of_quick) == sorted(planned)


def test_the_shipped_backbone_has_never_seen_the_quick_suites_classes() -> None:
    seen, asked = (
        {
            number
            for entry in suite.load(name).train
            for choice in entry.datasets
            for first in [choice.options.get("first_class", 0)]
            for number in range(first, first + choice.options.get("classes", 20))
        }
        for name in ("pretrain", "quick")
    )
    assert seen
    assert asked
    assert not seen & asked
    assert sum(file.stat().st_size for file in SHIPPED_WEIGHTS.iterdir()) < 6_000_000


def test_a_dry_reproduction_shows_value_recipe_and_what_is_needed(here: Environment) -> None:
    targets = suite_builders.targets(
        "dfl_cnn", here, variants=["paper", "released"], changes={"recipe": {"image_size": 160}}
    )
    rows, notes = preview.target_rows(targets), preview.target_notes(targets)
    released = next(row for row in rows if row["variant"] == "released")
    assert (released["published"], released["recipe"], released["data here"]) == (85.14, 2, False)
    assert {"image_size=160", "optimizer.name=sgd"} <= set(notes[0].split())
    assert notes[1].startswith("recipe 2: as 1, but ")
    assert "image_size" not in notes[1]
    lacking = {item.name for target in targets for item in target.items}
    assert {"cub_200_2011", "vgg16.tv_in1k", "vgg16_bn.tv_in1k"} <= lacking
    assert len(notes) == len(set(notes))


def test_one_subset_is_asked_for_by_name() -> None:
    choice = DatasetChoice.model_validate({"name": "webfg_496:bird"})
    assert (choice.name, choice.options) == ("webfg_496", {"subset": "bird"})
    with pytest.raises(ValidationError, match="no subset 'brid'; it has webfg_496:bird, webfg_496:aircraft"):
        DatasetChoice.model_validate({"name": "webfg_496:brid"})
    with pytest.raises(ValidationError, match="it has none"):
        DatasetChoice.model_validate({"name": "nabirds:bird"})


def test_a_published_row_of_one_subset_has_its_own_goal(here: Environment) -> None:
    targets = suite_builders.targets("bilinear_cnn:weblyfg", here)
    assert {target.dataset: [row.value for row in target.rows] for target in targets} == {
        "webfg_496:bird": [66.56],
        "webfg_496:aircraft": [64.33],
        "webfg_496:car": [67.42],
    }
