"""FSM: the patches that the last stage attends to (Section 3.4)."""

from __future__ import annotations

from torch import Tensor


def pool_selected(attention: Tensor, tokens: Tensor, selected: int | None) -> Tensor:
    """Mean of the chosen patches: attention `(B, heads, h, w)` and tokens `(B, C, h, w)` -> `(B, C)`.

    Each head chooses the patch it gives most attention to, as in TransFG; a patch that several choose counts
    several times. With `selected`, the patches with the most attention over all heads are taken.
    """
    chosen = chosen_patches(attention, selected)
    index = chosen.unsqueeze(1).expand(-1, tokens.shape[1], -1)
    return tokens.flatten(2).gather(2, index).mean(dim=2)


def chosen_patches(attention: Tensor, selected: int | None) -> Tensor:
    """Positions of the chosen patches in row-major order: attention `(B, heads, h, w)` -> `(B, heads or selected)`."""
    received = attention.flatten(2)
    if selected is None:
        return received.argmax(dim=2)
    return received.mean(dim=1).topk(min(selected, received.shape[2]), dim=1).indices
