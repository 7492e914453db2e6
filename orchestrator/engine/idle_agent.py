"""Stands in for an agent of Ray's that nobody will ask anything, and takes milliseconds to start in place of a second.

Ray's raylet runs `python -I -S idle_agent.py SCRIPT --session-dir=... --node-id=...` in place of `python SCRIPT ...`.
An agent says in files of the session's folder at which ports it listens, -1 for a service that is not offered. The
raylet waits for these files, ends when the agent does, and takes it along when it ends.
"""

import os
import sys
import time

SERVICES = ("metrics_agent", "metrics_export", "dashboard_agent_listen", "runtime_env_agent")
PARENT_SECONDS = 1.0
"""How often it is looked whether a raylet that was killed is still there."""


def main() -> None:
    raylet = int(os.environ["RAY_RAYLET_PID"])
    given = dict(option.split("=", 1) for option in sys.argv[1:] if "=" in option)
    for service in SERVICES:
        path = os.path.join(given["--session-dir"], f"{service}_port_{given['--node-id']}")
        with open(f"{path}.{os.getpid()}", "w", encoding="ascii") as file:
            file.write("-1")
        os.replace(file.name, path)
    while os.getppid() == raylet:
        time.sleep(PARENT_SECONDS)


if __name__ == "__main__":
    main()
