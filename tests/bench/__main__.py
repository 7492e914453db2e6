"""All benchmarks, or those that are named, into one Markdown table: `python tests/bench [NAME...] [-o bench.md]`."""

from __future__ import annotations

import sys
from importlib import import_module

from measuring import options_of, parser, write

NAMES = (
    "overhead",
    "resume",
    "workers_memory",
    "data_parallel",
    "gpu_step",
    "prediction",
    "readers",
    "scale",
    "whole_protocol",
)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(NAMES)}; left out: all")
    parsed = made.parse_args()
    unknown = [name for name in parsed.names if name not in NAMES]
    if unknown:
        made.error(f"found {unknown[0]!r}; expected {', '.join(NAMES)}")
    options = options_of(parsed)
    reports = []
    for name in parsed.names or NAMES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        reports.append(import_module(name).benchmark(options))
        if parsed.output:  # a benchmark that breaks off leaves what those before it found
            write(reports, options, parsed.output, quiet=True)
    write(reports, options, parsed.output)


if __name__ == "__main__":
    main()
