"""Patches of a vision transformer that overlap, as TransFG cuts them: the stride of the first convolution is smaller
than a patch, so the grid is finer and the weights stay as they are.

timm's conversion of weight files resizes the table of positions to the grid (bicubic, antialiased). TransFG's own code
resizes it linearly (`scipy.ndimage.zoom` of order 1).
"""

from __future__ import annotations

from typing import Any

from timm.layers import PatchEmbed


class OverlappingPatches(PatchEmbed):
    """timm's patch embedding of fixed-size images `(B, 3, H, W)` with a stride of its own, in pixels.

    The grid has `(H - patch) // stride + 1` rows: 37 for 448 px, patches of 16 and a stride of 12.
    """

    def __init__(self, *arguments: Any, stride: int, **options: Any) -> None:
        self.stride = stride  # timm's constructor asks for the grid; a number may be set before it, a module may not
        super().__init__(*arguments, **options)
        if not 1 <= stride <= max(self.patch_size):
            raise ValueError(
                f"patch_stride is {stride}; patches of {max(self.patch_size)} px overlap up to that stride"
            )
        self.proj.stride = (stride, stride)

    def _init_img_size(self, img_size: Any) -> Any:
        size, grid, _ = super()._init_img_size(img_size)
        if size is not None:
            grid = self.dynamic_feat_size(size)
        return size, grid, None if grid is None else grid[0] * grid[1]

    def feat_ratio(self, as_scalar: bool = True) -> Any:
        """Pixels from one patch to the next."""
        return self.stride if as_scalar else (self.stride, self.stride)

    def dynamic_feat_size(self, img_size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the grid for an image of `img_size` pixels."""
        rows, columns = (
            (side - patch) // self.stride + 1 for side, patch in zip(img_size, self.patch_size, strict=True)
        )
        return rows, columns
