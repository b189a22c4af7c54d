"""No method makes the host wait for the device in a step, or else a GPU idles while the host catches up."""

from __future__ import annotations

import pytest
import torch

import methods
from tests.helpers.host_waits import fake_gpu, host_waits_forbidden
from tests.helpers.methods_under_test import BATCH, build, images_and_labels, train_once

pytestmark = pytest.mark.parametrize("name", methods.available())


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_no_step_makes_the_host_wait(name: str, device: str, monkeypatch: pytest.MonkeyPatch):
    method = build(name).to(device)
    images, labels = (value.to(device) for value in images_and_labels(BATCH))
    train_once(method, (images, labels))  # what is set up once may wait
    with torch.no_grad():
        method.eval()(images)
    parameters = [parameter for parameter in method.parameters() if parameter.requires_grad]
    method.train()
    with host_waits_forbidden(device, monkeypatch):
        for losses in method.steps(images, labels):
            torch.autograd.grad(torch.stack(list(losses.values())).sum(), parameters, allow_unused=True)
            method.after_step()
        method.eval()
        with torch.no_grad():
            method(images)


def test_no_step_copies_between_host_and_device(name: str, monkeypatch: pytest.MonkeyPatch):
    method = build(name).train()
    with fake_gpu():
        method.to("cuda")
        images, labels = (value.to("cuda") for value in images_and_labels(BATCH))
        with host_waits_forbidden("cpu", monkeypatch):
            for _ in method.steps(images, labels):
                method.after_step()
            method.eval()
            for made in (method(images), method.attention(images), *method.explain(images).values()):
                assert made is None or made.device.type == "cuda"
