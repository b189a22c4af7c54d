"""Every method, built once for the tests of a file."""

from __future__ import annotations

import pytest

import methods
from methods.interface import Method
from tests.helpers.methods_under_test import Subject, build


@pytest.fixture(scope="module", params=methods.available())
def subject(request: pytest.FixtureRequest) -> Subject:
    return Subject(request.param, build(request.param))


@pytest.fixture
def method(subject: Subject) -> Method:
    return subject.copy()
