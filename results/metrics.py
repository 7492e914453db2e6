"""The metrics that tables show: what each is called and means, in which unit it is, and whether higher is better."""

from __future__ import annotations

from dataclasses import dataclass, replace

_EARLIER = "its lines were written by an earlier version; `flyp-sweep evaluate RUN` adds it"


@dataclass(frozen=True)
class Metric:
    """A metric of the ledger by its `name` there.

    `unit` is that of raw numbers (CSV, JSON, Python). Fractions are printed in percent, others as they are, with
    `decimals`. `absent` says why a ledger may lack the metric on a split, and what to do.
    """

    name: str
    label: str
    definition: str
    unit: str = "fraction"
    lower_is_better: bool = False
    decimals: int = 1
    absent: str = "the ledger does not hold it; take another metric"
    lies_in_split: bool = False
    """Whether a number is absent because of the split, for all methods alike."""

    @property
    def is_percent(self) -> bool:
        return self.unit == "fraction"

    @property
    def better(self) -> str:
        return "lower" if self.lower_is_better else "higher"

    @property
    def named(self) -> str:
        """The label within a sentence."""
        return f"{self.label[0].lower()}{self.label[1:]}"

    @property
    def best(self) -> str:
        """What the best number of a column is."""
        return "lowest" if self.lower_is_better else "highest"

    @property
    def heading(self) -> str:
        """What a caption calls its numbers: `Accuracy in %`, `Negative log-likelihood in nats`."""
        return f"{self.label} in {'%' if self.is_percent else self.unit}" if self.unit else self.label

    def printed(self, value: float, *, signed: bool = False, decimals: int | None = None) -> str:
        """A number as tables print it, e.g. 0.9512 as `95.1`, or as `+95.1`; zero has no minus sign.

        `decimals` take the place of those of the metric.
        """
        digits = self.decimals if decimals is None else decimals
        text = f"{100 * value if self.is_percent else value:{'+' if signed else ''}.{digits}f}"
        return text.replace("-", "", 1) if text.strip("+-0.") == "" and not signed else text


_WAYS = {
    "image_to_text": "Share of images with one of their captions among the {} captions that are most similar to them",
    "text_to_image": "Share of captions with one of their images among the {} images that are most similar to them",
}
_RETRIEVAL = tuple(
    Metric(
        f"{way}_r{k}",
        f"{way.replace('_', ' ').capitalize()} R@{k}",
        f"{share.format(k)}, by the model's own encoders. Images of one caption, and captions of one image, all count "
        "as right.",
        absent="the split has no captions, or the method's models have no text encoder of their own",
    )
    for way, share in _WAYS.items()
    for k in (1, 5, 10)
)

_KNOWN = (
    Metric("accuracy", "Accuracy", "Share of images whose likeliest class is the label."),
    Metric(
        "mean_per_class_accuracy",
        "Mean per class accuracy",
        "Mean over the classes that occur of the share of a class's images that are recognised.",
    ),
    Metric(
        "macro_f1",
        "Macro F1",
        "F1 averaged over the classes that occur, as WILDS computes it for iWildCam (Koh et al., ICML 2021).",
    ),
    Metric(
        "worst_group_accuracy",
        "Worst group accuracy",
        "Lowest accuracy of a group of images, e.g. of FMoW's regions as in WILDS (Koh et al., ICML 2021).",
        absent="the split has no groups",
        lies_in_split=True,
    ),
    Metric(
        "group_accuracy",
        "Accuracy of each group",
        "Share of the images of a group whose likeliest class is the label.",
        absent="the split has no groups",
        lies_in_split=True,
    ),
    Metric(
        "corruption_error",
        "Error under each corruption",
        "Share of images under a corruption that are not recognised, averaged over severities.",
        lower_is_better=True,
        absent="the split is no grid of corruptions",
        lies_in_split=True,
    ),
    Metric(
        "mean_corruption_error",
        "Mean corruption error",
        "Mean over corruptions of the share of images that are not recognised, averaged over severities.",
        lower_is_better=True,
        absent="the split is no grid of corruptions",
        lies_in_split=True,
    ),
    Metric(
        "mce",
        "mCE",
        "Mean over the 15 corruptions of ImageNet-C of the error, averaged over severities and divided by AlexNet's: "
        "Hendrycks and Dietterich, ICLR 2019.",
        lower_is_better=True,
        absent="the split is not the whole of ImageNet-C",
        lies_in_split=True,
    ),
    Metric(
        "nll",
        "Negative log-likelihood",
        "Mean over images of -ln p(label), the cross-entropy.",
        unit="nats",
        lower_is_better=True,
        decimals=3,
        absent=_EARLIER,
    ),
    Metric(
        "brier",
        "Brier score",
        "Mean over images of the sum over classes of (p(class) - [class is the label])^2, from 0 to 2; Brier, "
        '"Verification of forecasts expressed in terms of probability", Monthly Weather Review 78 (1950).',
        unit="",
        lower_is_better=True,
        decimals=3,
        absent=_EARLIER,
    ),
    Metric(
        "ece",
        "Expected calibration error",
        "Mean over images of |accuracy - mean confidence| of the image's bin, in 15 bins that hold equally many "
        "images each: Nguyen and O'Connor, EMNLP 2015; the error of Guo et al., \"On calibration of modern neural "
        'networks", ICML 2017, whose bins are equally wide.',
        lower_is_better=True,
        absent=_EARLIER,
    ),
    *_RETRIEVAL,
)

METRICS = {metric.name: metric for metric in _KNOWN}
GROUP_ACCURACY = "group_accuracy/"
"""With the name of a group behind it: a metric for each group of a split."""
CORRUPTION_ERROR = "corruption_error/"
"""With the name of a corruption behind it: a metric for each corruption of a grid."""


def metric_of(name: str) -> Metric:
    """The metric of that name; one that is not known here is taken for a fraction of which higher is better."""
    if name.startswith(GROUP_ACCURACY):
        group = name.removeprefix(GROUP_ACCURACY)
        definition = f"Share of the images of group {group} whose likeliest class is the label."
        return Metric(name, f"Accuracy of group {group}", definition, absent="the split has no such group")
    if name.startswith(CORRUPTION_ERROR):
        whole = METRICS[CORRUPTION_ERROR.strip("/")]
        return replace(whole, name=name, label=f"Error under {name.removeprefix(CORRUPTION_ERROR)}")
    return METRICS.get(name) or Metric(name, name.replace("_", " ").capitalize(), "")


def percent(fraction: float) -> str:
    """A fraction as a table prints it, e.g. 0.9512 as `95.1`."""
    return METRICS["accuracy"].printed(fraction)
