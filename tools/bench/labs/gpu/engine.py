"""Engines for `make bench-gpu`: real convolutions on real pages, without text.

The supervisor imports this module, so heavy libraries are imported in functions only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from ocrpool_worker.engine.base import EngineContext, PageInput, Reading

# Channels of the convolutions. Each halves the page, about as a text detector does.
CHANNELS = (3, 24, 48, 96, 96)


class TorchEngine:
    """The work of a text detector without its weights. Memory follows the largest page and stays
    reserved, because torch's allocator keeps it, as Paddle's does."""

    needs_models = False

    def __init__(self, context: EngineContext) -> None:
        import torch  # noqa: PLC0415

        self._torch: Any = torch
        self._device = "cuda:0" if context.device.startswith("gpu") else "cpu"
        torch.set_num_threads(context.cpu_threads)
        layers: list[Any] = []
        for before, after in itertools.pairwise(CHANNELS):
            layers += [torch.nn.Conv2d(before, after, 3, stride=2, padding=1), torch.nn.ReLU()]
        self._layers = torch.nn.Sequential(*layers).to(self._device).eval()

    @staticmethod
    def environment(context: EngineContext) -> Mapping[str, str]:
        return {}

    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        torch = self._torch
        with torch.inference_mode():
            pixels = torch.from_numpy(page.pixels()).to(self._device)
            batch = pixels.permute(2, 0, 1).unsqueeze(0).float() / 255
            float(self._layers(batch).mean())  # waits for the device
        return Reading(lines=())

    def unsupported_reason(self, params: Mapping[str, Any]) -> str | None:
        return None

    def device_memory(self) -> int | None:
        if self._device == "cpu":
            return None
        return int(self._torch.cuda.memory_reserved(0))


class RehearsalEngine:
    """Similar work on a CPU with libraries that every worker has, for `--device cpu`."""

    needs_models = False

    def __init__(self, context: EngineContext) -> None:
        self._kept: Any = None

    @staticmethod
    def environment(context: EngineContext) -> Mapping[str, str]:
        return {}

    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        import cv2  # noqa: PLC0415
        import numpy as np  # noqa: PLC0415

        kernel = np.full((3, 3), 1 / 9, np.float32)
        result = cv2.filter2D(page.pixels().astype(np.float32), -1, kernel)
        if self._kept is None or result.nbytes > self._kept.nbytes:
            self._kept = result  # memory that only grows, as on a GPU
        return Reading(lines=())

    def unsupported_reason(self, params: Mapping[str, Any]) -> str | None:
        return None

    def device_memory(self) -> int | None:
        return None
