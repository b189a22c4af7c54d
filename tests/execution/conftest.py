"""A Run that was carried out."""

from __future__ import annotations

import pytest

from benchmarks.environment import Environment
from benchmarks.execution import execute
from results.record import Record
from results.settings import Run
from results.store import ResultStore
from tests.helpers.small_plans import QUIET, one_run


@pytest.fixture(scope="package")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, ResultStore, Record]:
    """A Run that was carried out in this process; for tests that only read."""
    run, store = one_run(Environment()), ResultStore(tmp_path_factory.mktemp("trained"))
    assert execute.execute([run], store, Environment(), QUIET).done == [run.id]
    record = store.read(run.id)
    assert record is not None
    return run, store, record
