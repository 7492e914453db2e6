"""What Ray, the ledger and MLflow add to a trial: sweeps of many and of few trials that do nothing, their difference.

Start-up, imports and the making of tables cancel in it. A sweep ends when MLflow has everything.
"""

from __future__ import annotations

from measuring import Options, Report, Row, Sample, alternate, main, scratch, seconds, sweep

SPACE = """
name: noop
dataset: digits
model: {{arch: digits-clip, pretrained: bundled}}
methods: ["noop:DoNothing"]
search: {{algorithm: grid, space: {{x: {{int: [1, {trials}]}}}}}}
repeats: {{seeds: 1}}
wise_ft: {{alphas: [1.0]}}
"""
FEW, MARGINAL = 20, 500


def benchmark(options: Options) -> Report:
    few, marginal = (2, 4) if options.tiny else (FEW, MARGINAL)
    less, more = alternate(options.runs, lambda: timed(few), lambda: timed(few + marginal))
    each = Sample(tuple((two - one) / marginal for one, two in zip(less.values, more.values, strict=True)))
    note = f"({few + marginal} trials - {few} trials) / {marginal}; start-up and end of a sweep {less.told('s')}"
    told = each.told("ms", 1000)
    return Report([Row("Ray, ledger and MLflow, per trial", told, "-", told, options.runs, note)])


def timed(trials: int) -> float:
    """Seconds that a sweep of so many trials takes. Raises RuntimeError when MLflow was left behind."""
    with scratch() as folder:
        space = folder / "noop.yaml"
        space.write_text(SPACE.format(trials=trials))
        printed: list[str] = []
        took = seconds(lambda: printed.append(sweep(space, folder / "runs" / "noop")))
        if "MLflow is behind" in printed[0]:
            raise RuntimeError(f"the sweep ended before MLflow had everything:\n{printed[0]}")
        return took


if __name__ == "__main__":
    main(benchmark, __doc__)
