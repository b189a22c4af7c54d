"""Losses, rates and accuracies for TensorBoard, if `--tensorboard` asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError


class TensorBoardLog:
    """Writes numbers into `folder`, against the images trained on; without a folder it does nothing."""

    def __init__(self, folder: Path | None, images: int = 0) -> None:
        """Removes what an interrupted training wrote beyond `images`.

        Raises `UserError` if the package tensorboard is not installed.
        """
        self.writer: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError("--tensorboard needs a package: pip install tensorboard, or leave it out") from error
        self.writer = SummaryWriter(folder, purge_step=images + 1)

    @property
    def enabled(self) -> bool:
        """Whether anything is written."""
        return self.writer is not None

    def add(self, group: str, values: Mapping[str, Any], images: int) -> None:
        """Writes the numbers among `values` as `group/name`."""
        if self.writer is None:
            return
        for name, value in values.items():
            if isinstance(value, int | float):
                self.writer.add_scalar(f"{group}/{name}", value, images)
        self.writer.flush()

    def close(self) -> None:
        """Closes the file."""
        if self.writer is not None:
            self.writer.close()
