"""Caltech 101: objects in photos and drawings, in the publisher's folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets import fetch
from flyp_sweep.trainers.datasets.base import Dataset, Missing, Split
from flyp_sweep.trainers.datasets.listing import fixed_order
from flyp_sweep.trainers.datasets.named_files import below_folder

SOURCE = (
    "https://data.caltech.edu/records/mzrjq-6wc02, caltech-101.zip with its 101_ObjectCategories.tar.gz unpacked "
    "(or `flyp-sweep data prepare caltech101`)"
)
CUTS = {"train": (0.0, 0.6), "id_val": (0.6, 0.8), "id_test": (0.8, 1.0)}
"""The part of each class, and of all images, in each split, as an interval of fractions."""
IMAGES = 8677
"""Number of images in the 101 folders."""

OWN_NAMES = {
    "Faces": "off-center face",
    "Faces_easy": "centered face",
    "Leopards": "leopard",
    "Motorbikes": "motorbike",
    "airplanes": "airplane",
    "car_side": "side of a car",
    "cougar_body": "body of a cougar cat",
    "cougar_face": "face of a cougar cat",
    "crocodile_head": "head of a  crocodile",
    "flamingo_head": "head of a flamingo",
    "snoopy": "snoopy (cartoon beagle)",
    "yin_yang": "yin and yang symbol",
}
"""Folder -> CLIP's class name, if it differs from the folder's name with spaces. The double space is CLIP's."""

# fmt: off
FOLDERS = (
    "Faces", "Faces_easy", "Leopards", "Motorbikes", "accordion", "airplanes", "anchor", "ant", "barrel", "bass",
    "beaver", "binocular", "bonsai", "brain", "brontosaurus", "buddha", "butterfly", "camera", "cannon", "car_side",
    "ceiling_fan", "cellphone", "chair", "chandelier", "cougar_body", "cougar_face", "crab", "crayfish",
    "crocodile", "crocodile_head", "cup", "dalmatian", "dollar_bill", "dolphin", "dragonfly", "electric_guitar",
    "elephant", "emu", "euphonium", "ewer", "ferry", "flamingo", "flamingo_head", "garfield", "gerenuk",
    "gramophone", "grand_piano", "hawksbill", "headphone", "hedgehog", "helicopter", "ibis", "inline_skate",
    "joshua_tree", "kangaroo", "ketch", "lamp", "laptop", "llama", "lobster", "lotus", "mandolin", "mayfly",
    "menorah", "metronome", "minaret", "nautilus", "octopus", "okapi", "pagoda", "panda", "pigeon", "pizza",
    "platypus", "pyramid", "revolver", "rhino", "rooster", "saxophone", "schooner", "scissors", "scorpion",
    "sea_horse", "snoopy", "soccer_ball", "stapler", "starfish", "stegosaurus", "stop_sign", "strawberry",
    "sunflower", "tick", "trilobite", "umbrella", "watch", "water_lilly", "wheelchair", "wild_cat", "windsor_chair",
    "wrench", "yin_yang",
)
# fmt: on
"""In label order; BACKGROUND_Google is not a class."""

TEMPLATES = (
    "a photo of a {}.",
    "a painting of a {}.",
    "a plastic {}.",
    "a sculpture of a {}.",
    "a sketch of a {}.",
    "a tattoo of a {}.",
    "a toy {}.",
    "a rendition of a {}.",
    "a embroidered {}.",
    "a cartoon {}.",
    "a {} in a video game.",
    "a plushie {}.",
    "a origami {}.",
    "art of a {}.",
    "graffiti of a {}.",
    "a drawing of a {}.",
    "a doodle of a {}.",
    "a photo of the {}.",
    "a painting of the {}.",
    "the plastic {}.",
    "a sculpture of the {}.",
    "a sketch of the {}.",
    "a tattoo of the {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "the embroidered {}.",
    "the cartoon {}.",
    "the {} in a video game.",
    "the plushie {}.",
    "the origami {}.",
    "art of the {}.",
    "graffiti of the {}.",
    "a drawing of the {}.",
    "a doodle of the {}.",
)


class Caltech101(Dataset):
    """60% of each class for training, 20% for validation and 20% for testing: the shares of FLYP's authors.

    The publisher has no splits. The authors assign every image at random, without a fixed seed. Here file names
    determine the assignment, so every complete copy has the same splits. The files are
    ROOT/caltech101/101_ObjectCategories/<class>/image_0001.jpg; the folder BACKGROUND_Google is ignored. Class names
    and templates are CLIP's. torchvision only downloads the files: its class cannot list them without
    BACKGROUND_Google, or with gaps in the numbers.
    """

    name = "caltech101"
    summary = "Caltech's objects, 101 classes"
    held_out = True

    class_names = tuple(OWN_NAMES.get(folder, folder.replace("_", " ")) for folder in FOLDERS)
    templates = TEMPLATES
    splits = {name: name for name in CUTS}
    published = {name: round(end * IMAGES) - round(first * IMAGES) for name, (first, end) in CUTS.items()}

    @property
    def folder(self) -> Path:
        return self.root / "caltech101" / "101_ObjectCategories"

    def missing(self) -> list[Missing]:
        if not self.folder.is_dir():
            return [Missing(self.folder, SOURCE)]
        return [Missing(self.folder / name, SOURCE) for name in FOLDERS if not (self.folder / name).is_dir()]

    def fetch(self, say: fetch.Say) -> bool:
        fetch.by_torchvision("Caltech101", self.root)
        return True

    def load(self, split: str) -> Split:
        if split not in self.splits:
            raise InputError(f"data set 'caltech101' has no split {split!r}; it has {', '.join(self.splits)}")
        images = [sorted((self.folder / folder).glob("image_*.jpg")) for folder in FOLDERS]
        labels = np.repeat(np.arange(len(FOLDERS), dtype=np.int64), [len(paths) for paths in images])
        places = np.concatenate([_places(paths, folder) for paths, folder in zip(images, FOLDERS, strict=True)])
        first, end = (round(share * len(labels)) for share in CUTS[split])
        rows = np.sort(np.argsort(places, kind="stable")[first:end])
        every = [path for paths in images for path in paths]
        taken = below_folder(self.folder, [every[row] for row in rows])
        return Split(split, self.splits[split], taken, labels[rows], self.metric)


def _places(paths: Sequence[Path], folder: str) -> np.ndarray:
    """The position of each image in the draw of its class, float64 [N] between 0 and 1."""
    places = np.empty(len(paths))
    places[fixed_order([path.name for path in paths], folder)] = (np.arange(len(paths)) + 0.5) / max(1, len(paths))
    return places
