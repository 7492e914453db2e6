"""What a private Ray does without: processes that nobody asks anything, and environments for workers of their own.

Its workers are this very Python with this process's variables. All of this reaches into Ray's own parts, of the version
that is pinned; on a cluster that is joined, nothing here applies.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any

from flyp_sweep.orchestrator.engine import idle_agent


def start_less() -> None:
    """Have a private Ray that is started next start no more processes than trials need."""
    import ray

    # Nobody scales this machine, reads its workers' logs or asks its API server, which starts without a dashboard too:
    # these were three processes of Python, and Ray waited for the last of them.
    parameters: Any = ray._private.parameter
    parameters.RayParams = partial(parameters.RayParams, no_monitor=True, include_log_monitor=False)
    services: Any = ray._private.services
    worker: Any = ray._private.worker
    services.start_api_server = lambda *_, **__: (None, None)  # as it returns when it could not start one
    # Nor do workers want environments of their own, not those that a job of Ray's, or `uv run`, would have for its own
    # workers. So nobody asks the agents that set these up and report figures, and Ray waited for both.
    os.environ.pop(worker.RAY_JOB_CONFIG_JSON_ENV_VAR, None)
    constants: Any = ray._private.ray_constants
    constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = False
    agents = (constants.PROCESS_TYPE_DASHBOARD_AGENT, constants.PROCESS_TYPE_RUNTIME_ENV_AGENT)
    python = services._build_python_executable_command_memory_profileable

    def command(component: str, *arguments: Any, **options: Any) -> list[str]:
        """The Python that runs this component of Ray, whose script and options will follow."""
        if component in agents:
            return [sys.executable, "-I", "-S", idle_agent.__file__]
        return list(python(component, *arguments, **options))

    services._build_python_executable_command_memory_profileable = command
    ray._private.utils.get_dashboard_dependency_error = lambda: None  # imports what agents would, to see whether it can


def use_workers_at_hand() -> None:
    """Have Tune take workers that a private Ray has ready.

    They have its environment variables from this process; as an environment of its own those kept it from them.
    """
    from ray.tune.execution import class_cache

    class_cache.DEFAULT_ENV_VARS.clear()
    class_cache.ENV_VARS_TO_PROPAGATE.clear()
