"""IELT: every head of every layer votes for tokens; the chosen ones are refined together, and vote again.

Xu, Wang, Jiang, Luo, "Fine-Grained Visual Classification via Internal Ensemble Learning Transformer", IEEE
Transactions on Multimedia 2023, doi 10.1109/TMM.2023.3244340. Its text could not be opened: this follows its abstract
and the authors' code.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.ielt import allocation, voting
from methods.ielt.refinement import Refinement
from methods.interface import BackboneError, BackboneSource, Gather, Method, Tokens, alone
from methods.ops.options import check_share, check_word
from methods.ops.tokens.last_blocks import groups_with_last, start_anew
from methods.ops.tokens.selection import marked, taken

Anew = Literal["nothing", "norms", "all"]
"""What of the two last blocks and their norms starts from random values: nothing, the norms alone, or all of them."""


class Votes(NamedTuple):
    """What was voted for in a batch of images."""

    patch: Tensor
    """Patch of each place of the cross-layer feature `(B, total)`, row by row."""
    layer: Tensor
    """Layer of each place `(total,)`."""
    scores: Tensor
    """How strongly the refined class token asks each place `(B, heads, total)`, before the softmax."""
    key: Tensor
    """Places of the tokens that were voted for again `(B, votes)`."""


class Seen(NamedTuple):
    """Both predictions of a batch of images, and their votes."""

    logits: Tensor
    assisting: Tensor
    """Logits `(B, K)` of the class token after the cross-layer refinement."""
    votes: Votes


class IELT(Method):
    """Multi-head voting (MHV), cross-layer refinement (CLR) and dynamic selection (DS).

    Options:
        votes: tokens for which each head votes, and which the second vote keeps.
        total: tokens that the layers together send to the refinement. On a small grid `votes` is at most a quarter of
            the patches and of `total`, and `total` at most the number of patches.
        start: of the layers' shares; see `allocation.Start`.
        rate: by how much the shares move in a step, towards the layers of the tokens that the second vote keeps; 0: DS
            is off.
        still: share of the training in which they don't move yet.
        smoothing: whether votes are smoothed over neighbouring patches.
        assist: whether tokens are voted for again and the refined token's prediction assists theirs; else that
            prediction is all there is.
        alpha: weight of the refined prediction's loss; the other's is 1 - alpha.
        anew: see `Anew`.
    """

    soft_labels = True
    shares: Tensor
    """Of each layer in the places `(layers,)`; they sum to 1."""

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        votes: int = 24,
        total: int = 126,
        start: allocation.Start = "ends",
        rate: float = 1e-3,
        still: float = 0.2,
        smoothing: bool = True,
        assist: bool = True,
        alpha: float = 0.4,
        anew: Anew = "nothing",
    ) -> None:
        super().__init__()
        check_word("start", start, get_args(allocation.Start))
        check_word("anew", anew, get_args(Anew))
        for name, share in {"rate": rate, "still": still, "alpha": alpha}.items():
            check_share(name, share)
        for name, count in {"votes": votes, "total": total}.items():
            if count < 1:
                raise ValueError(f"{name} is {count}; it must be 1 or more")
        self.backbone = backbones.tokens(after=None, queries=None, rest=1)
        if not self.backbone.prefix:
            raise BackboneError(f"{backbones.name} has no class token, whose attention IELT counts as votes")
        patches = self.backbone.grid[0] * self.backbone.grid[1]
        self.total = min(total, patches)
        self.votes = max(1, min(votes, patches // 4, self.total // 4))
        rest: Any = self.backbone.take_rest()
        key = copy.deepcopy(rest)
        for block in (rest, key):
            if anew != "nothing":
                start_anew(block if anew == "all" else block.norm)
        self.refine, self.key = Refinement(rest), key if assist else None
        self.head = nn.Linear(self.backbone.channels, num_classes)
        self.rate, self.still, self.over = rate, still, 0.0
        self.smoothing, self.alpha = smoothing, alpha
        self.layers = self.backbone.depth - 1
        self.register_buffer("shares", allocation.starting_shares(self.layers, start))
        self.kept: Tensor | None = None
        """How many kept tokens of each image came from each layer `(B, layers)`, of the images since `after_step`."""

    # ---- the network

    def vote(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Multi-head voting in one layer: patches `(B, h·w)`, the one with most votes first."""
        scores = voting.class_scores(queries, keys, self.backbone.prefix)
        counts = voting.count_votes(scores, self.votes)
        return voting.ranking(voting.smoothed(counts, self.backbone.grid) if self.smoothing else counts)

    def cross_layer(self, seen: Tokens, places: allocation.Places) -> tuple[Tensor, Tensor]:
        """The token that each place holds `(B, total, C)`, and its patch `(B, total)`.

        Of each layer as many tokens are read as there are places, whosesoever they are, so that no shape depends on
        the shares.
        """
        tokens, patches = torch.zeros_like(seen.after[0][:, :1]), torch.zeros_like(places.rank)
        for number, after in enumerate(seen.after):
            with torch.no_grad():
                chosen = self.vote(seen.queries[number], seen.keys[number])[:, places.rank]
            own = places.layer == number
            patches = torch.where(own, chosen, patches)
            tokens = torch.where(own[:, None], taken(after, self.backbone.prefix + chosen), tokens)
        return tokens, patches

    def see(self, images: Tensor) -> Seen:
        """One pass over images `(B, 3, H, W)`."""
        seen, places = self.backbone(images), allocation.places(self.shares, self.total)
        tokens, patches = self.cross_layer(seen, places)
        whole = seen.after[-1][:, :1]
        refined, scores = self.refine(torch.cat([whole, tokens], dim=1))
        key = voting.ranking(voting.count_votes(scores, self.votes))[:, : self.votes]
        logits = assisting = self.head(refined[:, 0])
        if self.key is not None:
            final = self.key(torch.cat([whole, taken(refined, 1 + key)], dim=1))
            logits = self.head(final[:, 0]) + assisting.softmax(dim=1) * self.head.weight.sum(dim=1)
        return Seen(logits, assisting, Votes(patches, places.layer, scores, key))

    def forward(self, images: Tensor) -> Tensor:
        return self.see(images).logits

    # ---- training

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of both predictions; in training the layers of the tokens that were kept are counted too."""
        seen = self.see(images)
        if self.training:
            self.kept = allocation.count_layers(seen.votes.layer, seen.votes.key, self.layers)
        if self.key is None:
            return {"cross_entropy": F.cross_entropy(seen.logits, labels)}
        return {
            "final": (1 - self.alpha) * F.cross_entropy(seen.logits, labels),
            "refined": self.alpha * F.cross_entropy(seen.assisting, labels),
        }

    def steps(self, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        """One step. If the runner splits a batch, all its parts pass through here before the shares move."""
        earlier = self.kept
        losses = self.losses(images, labels)
        if earlier is not None and self.kept is not None:
            self.kept = torch.cat([earlier, self.kept])
        yield losses

    def before_batch(self, epoch: int, over: float) -> None:
        self.over = over

    @torch.no_grad()
    def after_step(self, gather: Gather = alone) -> None:
        """Dynamic selection: the layers' shares move towards those of the tokens that were kept in this step."""
        if self.kept is not None:
            counts, self.kept = gather(self.kept).sum(dim=0), None
            if self.over >= self.still:
                self.shares.copy_(allocation.moved(self.shares, counts, self.rate))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Both blocks for chosen tokens have a group of their own: see `groups_with_last`."""
        return groups_with_last(self, self.refine, *([] if self.key is None else [self.key]))

    # ---- what it sees

    def branches(self, images: Tensor) -> dict[str, Tensor]:
        """The prediction of the class token after the cross-layer refinement."""
        return {} if self.key is None else {"refined": self.see(images).assisting}

    def attention(self, images: Tensor) -> Tensor:
        """What each head of the refinement attends to from the class token, on the patches that the layers chose.

        `(B, heads, h, w)`; a patch that several layers chose has the sum, and one that none chose has 0.
        """
        votes = self.see(images).votes
        shares = votes.scores.softmax(dim=2)
        rows, columns = self.backbone.grid
        maps = shares.new_zeros(*shares.shape[:2], rows * columns)
        maps = maps.scatter_add(2, votes.patch[:, None].expand_as(shares), shares)
        return maps.unflatten(2, (rows, columns))

    def explain(self, images: Tensor) -> dict[str, Tensor]:
        """The patches of the tokens that the layers chose, and of those that were voted for again."""
        votes = self.see(images).votes
        chosen = {"cross-layer patches": votes.patch, "key patches": votes.patch.gather(1, votes.key)}
        return {name: marked(images, patches, self.backbone.grid) for name, patches in chosen.items()}
