"""YAML to checked settings; a wrong key or value is named in one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from benchmarks import yaml_text
from benchmarks.errors import UserError
from results.values.names import suggest
from results.values.text import shown

Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path) -> Any:
    """The YAML file's content. Raises `UserError` naming file and line."""
    try:
        with path.open(encoding="utf-8") as file:
            return yaml_text.read(file.read(yaml_text.LONGEST + 1))
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not valid YAML (it is not text in UTF-8: {error.reason})") from error
    except yaml_text.YamlTextError as fault:
        line = f" line {fault.line}:" if fault.line else ""
        raise UserError(f"{path}:{line} {fault}") from fault


def parse(model: type[Model], values: Any, where: str) -> Model:
    """`values` as a checked `model`. Raises `UserError` for the first fault, with its location and the nearest key."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        if not isinstance(values, Mapping):
            found = "is empty" if values is None else f"is {shown(values)}"
            raise UserError(f"{where}: {found}; it takes settings by name, key: value") from error
        raise UserError(f"{where}: {_first(error.errors(), model, values)}") from error


def fault_in(model: type[BaseModel], values: Mapping[str, Any]) -> str | None:
    """The first fault of a part of a model's settings, worded as by `parse`; missing settings are no fault."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        faults = [fault for fault in error.errors() if fault["type"] != "missing"]
        return _first(faults, model, values) if faults else None
    return None


def fault_of(kind: Any, value: Any) -> str | None:
    """Why a value is none of the type `kind`, worded as by `parse`; nothing is converted, and floats are finite."""
    try:
        TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False)).validate_python(value)
    except ValidationError as error:
        return _describe(error.errors()[0], BaseModel)
    return None


def _first(faults: Sequence[ErrorDetails], model: type[BaseModel], values: Any) -> str:
    # A misspelt key also leaves the right one missing; the spelling is the fault to report.
    first = min(faults, key=lambda fault: fault["type"] != "extra_forbidden")
    place = ".".join(_written(first, values))
    return f"{place or 'top level'}: {_describe(first, model)}"


def _written(fault: ErrorDetails, values: Any) -> Iterator[str]:
    """The fault's location as it is written: without the names that pydantic gives to the types of a union."""
    for part in fault["loc"]:
        try:
            values = values[part]
        except (LookupError, TypeError):
            if fault["type"] != "missing":
                continue
        yield str(part)


def _describe(fault: ErrorDetails, model: type[BaseModel]) -> str:
    if fault["type"] == "value_error":  # raised by our own validators
        return fault["msg"].removeprefix("Value error, ")
    if fault["type"] != "extra_forbidden":
        return f"{fault['msg'][:1].lower()}{fault['msg'][1:]} (is {shown(fault['input'])})"
    *path, key = fault["loc"]
    return f"unknown key; {suggest(str(key), _keys_at(model, path))}"


def _keys_at(model: type[BaseModel], path: Iterable[int | str]) -> list[str]:
    """Valid keys of the settings at `path`; list positions and dictionary keys are skipped."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        inner = _model_in(field.annotation)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings class within a type such as `list[Model] | None`, if any."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def deep_merge(base: Mapping[str, Any], *overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries merged, later ones taking precedence; other values are replaced."""
    result = dict(base)
    for override in overrides:
        for key, value in override.items():
            below = result.get(key)
            both = isinstance(value, Mapping) and isinstance(below, Mapping)
            result[key] = deep_merge(below, value) if both else value  # type: ignore[arg-type]
    return result
