"""Return once a Ray cluster has so many CPUs: `wait_for_cpus.py HOST:PORT CPUS SECONDS`, run on one of its nodes.

A sweep asks the cluster what a trial can get, so it must not begin before there are nodes that run trials.
"""

from __future__ import annotations

import logging
import sys
import time

import ray

PAUSE_SECONDS = 0.5


def main(address: str, wanted: float, seconds: float) -> str | None:
    """None, or what is wrong."""
    deadline = time.monotonic() + seconds
    while not join(address):  # this machine's own node may be on its way
        if time.monotonic() > deadline:
            return f"sweep.sh: Ray: found no node of {address} on this machine for {seconds:g} s; see RAY_JOIN"
        time.sleep(PAUSE_SECONDS)
    while (found := ray.cluster_resources().get("CPU", 0.0)) < wanted:
        if time.monotonic() > deadline:
            return (
                f"sweep.sh: Ray: found {found:g} CPUs in the cluster after {seconds:g} s, expected {wanted:g}; "
                "start workers, or lower RAY_CPUS_WANTED"
            )
        time.sleep(PAUSE_SECONDS)
    return None


def join(address: str) -> bool:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
