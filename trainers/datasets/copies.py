"""Other people's copies of published data whose own download link is dead or unreliable.

Others use each of these copies. We did not compare them with the originals. clip-benchmark's images are re-encoded as
WebP.
"""

from __future__ import annotations

_HUB = "https://huggingface.co/datasets"

COPIES = {
    "country211": f"{{webdataset: {_HUB}/clip-benchmark/wds_country211}} (train and test; no validation images)",
    "fmow": f"{{webdataset: {_HUB}/djghosh/wds_wilds-fmow_test}} (the OOD test images, to evaluate on)",
    "iwildcam": f"{{webdataset: {_HUB}/djghosh/wds_wilds-iwildcam_test}} (the OOD test images, to evaluate on)",
    "pcam": f"{{webdataset: {_HUB}/clip-benchmark/wds_vtab-pcam}} (train and test; no validation images)",
    "renderedsst2": f"{{webdataset: {_HUB}/clip-benchmark/wds_renderedsst2}} (train and test; no validation images)",
    "stanfordcars": (
        f"{{hub: tanganke/stanford_cars}} or {{webdataset: {_HUB}/clip-benchmark/wds_cars}} (train and test; "
        "hold out id_val)"
    ),
    "sun397": "{hub: tanganke/sun397} (19,850 images to train on and 19,850 to test on; hold out id_val)",
}
"""Data set, in lower-case letters only -> entries of a search space's `dataset` that read a copy of its images."""


def with_copies(source: str, name: str) -> str:
    """`source`, followed by the copies, if any, of the data set with this name, here or in torchvision."""
    copies = COPIES.get(name.lower().replace("_", ""))
    return f"{source}; copies: {copies}" if copies else source
