"""Which experiments may be compared, and which of them stand for a method."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from reports.groups import Group, distinctions, rules
from reports.names import Names
from results.identity import UNCHECKED, contents

WHOLE = "paper"
"""The variant that is the method as published."""
BASELINE = "plain"
"""The method that others are compared to."""
_FREE = {"lr_scale", "evaluate_every"}
"""Settings of the common recipe that may differ: a method may set the first, the second changes no last epoch."""


class ComparisonGroup(NamedTuple):
    """What experiments share that may be compared. Pages and CSV files call it an arena."""

    dataset: str
    """Empty for what is compared over datasets (`across_datasets`), as are `split` and `images`."""
    protocol: str
    backbone: str
    """Empty for what is compared over backbones (`across_backbones`), as is the next."""
    pretrained: str
    input: int
    epochs: int | None
    """None under the paper's protocol, where the budget is part of a method's own recipe, and where nothing was trained
    in epochs."""
    recipe: str | None
    """The rest of the common recipe, without what methods may set of it, and the precision; JSON. None as `epochs`."""
    split: str
    images: str
    """The beginning of their hash, or `unchecked`."""
    rules: str
    in_part: bool = False
    """Whether the images of some of the experiments are unchecked."""
    distinction: str = ""
    """What distinguishes it from others with the same name."""

    def __str__(self) -> str:
        budget = f", epochs: {self.epochs}" if self.epochs is not None else ""
        backbone = f", {self.backbone}" if self.backbone else ""
        distinction = f", {self.distinction}" if self.distinction else ""
        images = ", images in part unchecked" if self.in_part else ""
        dataset = f"{self.dataset}, " if self.dataset else ""
        return f"{dataset}{self.protocol} recipe{backbone}, {self.input} px{budget}{images}{distinction}"

    def named(self, names: Names) -> ComparisonGroup:
        """The same, which says the display names of its dataset and backbone."""
        backbone = self.backbone and names.backbone(self.backbone)
        return self._replace(dataset=names.dataset(self.dataset), backbone=backbone)


def comparison_groups(groups: Iterable[Group]) -> dict[ComparisonGroup, list[Group]]:
    """The experiments by what they share. No two comparison groups have the same name."""
    together: dict[ComparisonGroup, list[Group]] = defaultdict(list)
    shared_by = {group: _shared(group) for group in groups}
    joined = _joined(set(shared_by.values()))
    for group, shared in shared_by.items():
        together[joined.get(shared, shared)].append(group)
    told = {_without_epochs(shared, members): members for shared, members in together.items()}
    distinct = _distinct(told)
    return {distinct[shared]: members for shared, members in told.items()}


def _without_epochs(shared: ComparisonGroup, members: Sequence[Group]) -> ComparisonGroup:
    """It names no epochs if no member has any: their recipes, which are part of it, still have theirs."""
    return shared if any(group.epochs is not None for group in members) else shared._replace(epochs=None)


def across_backbones(
    comparisons: Mapping[ComparisonGroup, list[Group]],
) -> dict[ComparisonGroup, dict[ComparisonGroup, list[Group]]]:
    """The comparison groups that differ in backbone and its weights alone, below what they share; only where there are
    several of them."""
    return _across(comparisons, lambda one: one._replace(backbone="", pretrained=""))


def across_datasets(
    comparisons: Mapping[ComparisonGroup, list[Group]],
) -> dict[ComparisonGroup, dict[ComparisonGroup, list[Group]]]:
    """The comparison groups that differ in dataset, split and images alone, below what they share; only where there are
    several of them."""
    return _across(comparisons, lambda one: one._replace(dataset="", split="", images=""))


def _across(
    comparisons: Mapping[ComparisonGroup, list[Group]], blank: Callable[[ComparisonGroup], ComparisonGroup]
) -> dict[ComparisonGroup, dict[ComparisonGroup, list[Group]]]:
    """Those that are equal once the fields in which they may differ are `blank`."""
    together: dict[ComparisonGroup, dict[ComparisonGroup, list[Group]]] = defaultdict(dict)
    anywhere = {one: blank(one)._replace(epochs=None, in_part=False, distinction="") for one in comparisons}
    joined = _joined(set(anywhere.values()))
    for one, members in comparisons.items():
        together[joined.get(anywhere[one], anywhere[one])][one] = members
    several = {
        shared._replace(
            epochs=next((one.epochs for one in found if one.epochs is not None), None),
            in_part=shared.in_part or any(one.in_part for one in found),
        ): found
        for shared, found in together.items()
        if len(found) > 1
    }
    distinct = _distinct(several)
    return {distinct[shared]: found for shared, found in several.items()}


def _distinct(every: Iterable[ComparisonGroup]) -> dict[ComparisonGroup, ComparisonGroup]:
    """Each with a distinction from those of the same name."""
    namesakes: dict[str, list[ComparisonGroup]] = defaultdict(list)
    for shared in every:
        namesakes[str(shared)].append(shared)
    return {
        shared: shared._replace(distinction=distinction)
        for alike in namesakes.values()
        for shared, distinction in zip(alike, distinctions(map(_differing, alike), letters=60), strict=True)
    }


def _joined(every: Iterable[ComparisonGroup]) -> dict[ComparisonGroup, ComparisonGroup]:
    """What is compared in part on trust: experiments from before images were checked, and those on the same split whose
    images were, if all of these have the same images."""
    alike: dict[ComparisonGroup, list[ComparisonGroup]] = defaultdict(list)
    for shared in every:
        alike[shared._replace(images=UNCHECKED)].append(shared)
    found: dict[ComparisonGroup, ComparisonGroup] = {}
    for rest, several in alike.items():
        checked = [one for one in several if one != rest]
        if len(checked) == 1 and rest in several:
            found |= dict.fromkeys(several, checked[0]._replace(in_part=True))
    return found


def contestants(members: Sequence[Group]) -> list[Group]:
    """Of a comparison group, the experiments by which methods are compared.

    That is the whole method, or its variants where the whole method is not there. What a variant gains or loses
    against the whole method is in the table of ablations.
    """
    members = uncut(members)
    whole = {group.run.method for group in members if group.run.variant == WHOLE}
    return [group for group in members if group.run.variant == WHOLE or group.run.method not in whole]


def uncut(members: Sequence[Group]) -> list[Group]:
    """Without the seeds whose batches were cut, where the same experiment has finished with whole batches."""
    whole = {group.experiment for group in members if group.done and not group.cut}
    return [group for group in members if not group.cut or group.experiment not in whole]


def _shared(group: Group) -> ComparisonGroup:
    run = group.run
    common = run.protocol == "common"
    recipe = run.recipe.model_dump(mode="json", exclude=_FREE) | {"precision": run.precision}
    return ComparisonGroup(
        dataset=run.task,
        protocol=run.protocol,
        backbone=run.backbone,
        pretrained=run.pretrained,
        input=run.image_size,
        epochs=run.recipe.epochs if common else None,
        recipe=json.dumps(recipe) if common else None,
        split=run.split_sha256,
        images=contents(run)["images"],
        rules=rules(group.records[0])["rules"],
    )


def _differing(shared: ComparisonGroup) -> dict[str, Any]:
    """What its name does not say."""
    recipe = json.loads(shared.recipe or "{}")
    shown = {"pretrained": shared.pretrained, "split": shared.split[:10], "images": shared.images}
    return shown | {"rules": shared.rules, "recipe": recipe}
