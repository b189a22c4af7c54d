"""What estimates are made from and takes seconds to find out, kept in the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from datasets.cache_folder import default_cache
from results.errors import ResultsError
from results.files import write_whole

Kept = TypeVar("Kept", bound=BaseModel)


def read_or_make(
    kind: str, key: Mapping[str, Any], model: type[Kept], make: Callable[[], Kept | None], passing: bool = False
) -> Kept | None:
    """What was kept under `key`, else what `make` returns, which is kept from now on unless it is None or `passing`.

    A cache that can't be read or written only costs time.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
    path = default_cache() / "estimates" / f"{kind}-{digest[:16]}.json"
    with contextlib.suppress(OSError, ValidationError):
        return model.model_validate_json(path.read_bytes())
    made = make()
    if made is not None and not passing:
        with contextlib.suppress(OSError, ResultsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda file: file.write_text(made.model_dump_json(indent=2), encoding="utf-8"))
    return made
