"""`flyp-sweep list`: the methods, data sets, search spaces and ensembles of this installation."""

from __future__ import annotations

import click


@click.command("list")
@click.argument("what", type=click.Choice(["methods", "datasets", "spaces", "ensembles"]))
def list_(what: str) -> None:
    """List methods, data sets, search spaces or ensembles, with the package of those from outside."""
    summaries, origins = _catalogue(what)
    for name, summary in summaries.items():
        click.echo(f"{name:<20} {summary}{f' ({origins[name]})' if name in origins else ''}")


def _catalogue(what: str) -> tuple[dict[str, str], dict[str, str]]:
    """Name -> summary, and name -> package for those of other packages."""
    if what == "spaces":
        from flyp_sweep.search_spaces.loading import bundled

        return bundled(), {}
    from flyp_sweep.trainers import plugins

    if what == "datasets":
        from flyp_sweep.trainers import datasets

        return {name: found.summary for name, found in datasets.registry().items()}, plugins.origins(plugins.DATASETS)
    if what == "ensembles":
        from flyp_sweep.trainers import ensembles

        return {name: one.summary for name, one in ensembles.registry().items()}, plugins.origins(plugins.ENSEMBLES)
    from flyp_sweep.trainers import methods

    return {name: method.summary for name, method in methods.registry().items()}, plugins.origins(plugins.METHODS)
