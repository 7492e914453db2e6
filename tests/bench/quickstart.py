"""The whole protocol at quickstart scale, against the baseline: wall time, and whether both find the same."""

from __future__ import annotations

from pathlib import Path

from measuring import Options, Report, main, scratch
from whole_protocol import race

from flyp_sweep.search_spaces.loading import dump, load

CUT_DOWN = (
    "methods=[zeroshot, ft]",
    "search.per_method={}",
    "search.num_samples=1",
    "train.epochs=1",
    "repeats.seeds=1",
    "wise_ft.alphas=2",
)


def benchmark(options: Options) -> Report:
    with scratch() as folder:
        path = folder / "quickstart.yaml"
        path.write_text(dump(load("quickstart", CUT_DOWN if options.tiny else ())))
        return race("whole protocol, quickstart", path, Path("absent"), options)


if __name__ == "__main__":
    main(benchmark, __doc__)
