"""Ray's dashboard, and jobs that are handed in over it, as KubeRay does; where the extra `dashboard` is installed."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from commands import numbers
from finished import Finished
from services import environment, launch, ray_cluster, running
from waiting import answers, free_port

pytest.importorskip("aiohttp_cors", reason="the extra `dashboard` is not installed")


@pytest.mark.slow
def test_a_sweep_is_handed_in_as_a_job_and_only_with_the_token(tmp_path: Path, small: Finished) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    # As the pod of the head in kuberay/rayjob.yaml is told it.
    pod = {"RAY_JOIN": 0, "SPACE": small.space, "RAY_DASHBOARD_HOST": "127.0.0.1"}
    with ray_cluster(tmp_path) as ray:
        head = ray.head(RAY_DASHBOARD_PORT=urlsplit(url).port, **pod)
        with running(head), running(ray.worker()):
            bearer = {"Authorization": f"Bearer {ray.token}"}
            head.until(lambda: answers(f"{url}/api/version", **bearer))
            assert not answers(f"{url}/api/jobs/")
            assert answers(f"{url}/api/jobs/", **bearer)
            told = environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=ray.token)
            submit = ["ray", "job", "submit", "--address", url, "--", "sweep.sh"]
            with running(launch(submit, tmp_path / "submitted.log", told)) as job:
                assert job.wait(240) == 0, job.output
    assert numbers(tmp_path / "runs" / "small") == numbers(small.run)
