"""The ensembles that can be made of a cell's trials, each a row of its own in the table."""

from __future__ import annotations

UNIFORM_SOUP, GREEDY_SOUP, LOGIT_ENSEMBLE = "uniform_soup", "greedy_soup", "logit_ensemble"
STRICT_SOUP = "greedy_soup_strict"

SOUPS = {
    UNIFORM_SOUP: "mean of the weights of all configurations of a search, one soup per search seed",
    GREEDY_SOUP: "the same of those, best first, that do not lower the score on ID validation data",
    STRICT_SOUP: "the same of those, best first, that raise the score on ID validation data, as in the authors' code",
}
"""Made of the trials of a search, one per seed of it; the others are made of a repeat each."""

ENSEMBLES = {
    **SOUPS,
    LOGIT_ENSEMBLE: "a repeat's logits mixed with the zero-shot model's, by an alpha chosen on ID validation data",
}
"""Name -> what it is, in the order of the tables."""
