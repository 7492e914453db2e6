"""Oxford's 102 flowers, in the publisher's files."""

from __future__ import annotations

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets import fetch
from flyp_sweep.trainers.datasets.base import Dataset, Missing, Split
from flyp_sweep.trainers.datasets.listing import from_one, present, read_mat
from flyp_sweep.trainers.datasets.named_files import NamedFiles, as_names

PARTS = {"train": "trnid", "id_val": "valid", "id_test": "tstid"}
SOURCE = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/ (or `flyp-sweep data prepare flowers102`)"

# fmt: off
NAMES = (
    "pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea", "english marigold", "tiger lily",
    "moon orchid", "bird of paradise", "monkshood", "globe thistle", "snapdragon", "colt's foot", "king protea",
    "spear thistle", "yellow iris", "globe flower", "purple coneflower", "peruvian lily", "balloon flower",
    "giant white arum lily", "fire lily", "pincushion flower", "fritillary", "red ginger", "grape hyacinth",
    "corn poppy", "prince of wales feathers", "stemless gentian", "artichoke", "sweet william", "carnation",
    "garden phlox", "love in the mist", "mexican aster", "alpine sea holly", "ruby-lipped cattleya", "cape flower",
    "great masterwort", "siam tulip", "lenten rose", "barbeton daisy", "daffodil", "sword lily", "poinsettia",
    "bolero deep blue", "wallflower", "marigold", "buttercup", "oxeye daisy", "common dandelion", "petunia",
    "wild pansy", "primula", "sunflower", "pelargonium", "bishop of llandaff", "gaura", "geranium", "orange dahlia",
    "pink and yellow dahlia", "cautleya spicata", "japanese anemone", "black-eyed susan", "silverbush",
    "californian poppy", "osteospermum", "spring crocus", "bearded iris", "windflower", "tree poppy", "gazania",
    "azalea", "water lily", "rose", "thorn apple", "morning glory", "passion flower", "lotus", "toad lily",
    "anthurium", "frangipani", "clematis", "hibiscus", "columbine", "desert-rose", "tree mallow", "magnolia",
    "cyclamen", "watercress", "canna lily", "hippeastrum", "bee balm", "air plant", "foxglove", "bougainvillea",
    "camellia", "mallow", "mexican petunia", "bromelia", "blanket flower", "trumpet creeper", "blackberry lily",
)
# fmt: on


class Flowers102(Dataset):
    """The publisher's splits: 10 images of each class for training, 10 for validation, 6,149 images for testing.

    The files are in ROOT/flowers-102: jpg/image_00001.jpg and so on, imagelabels.mat and setid.mat. The file's labels
    count from 1. Class names, in the publisher's order, and template are CLIP's. torchvision only downloads the files:
    its class refuses .mat files with other checksums, and does not notice absent images.
    """

    name = "flowers102"
    summary = "Oxford's flowers, 102 classes"

    class_names = NAMES
    templates = ("a photo of a {}, a type of flower.",)
    splits = {name: name for name in PARTS}
    published = {"train": 1020, "id_val": 1020, "id_test": 6149}

    def missing(self) -> list[Missing]:
        folder = self.root / "flowers-102"
        absent = [path for path in (folder / "imagelabels.mat", folder / "setid.mat") if not path.is_file()]
        absent += [] if (folder / "jpg").is_dir() else [folder / "jpg"]
        return [Missing(path, SOURCE) for path in absent]

    def fetch(self, say: fetch.Say) -> bool:
        fetch.by_torchvision("Flowers102", self.root)
        return True

    def load(self, split: str) -> Split:
        if split not in self.splits:
            raise InputError(f"data set 'flowers102' has no split {split!r}; it has {', '.join(self.splits)}")
        folder = self.root / "flowers-102"
        labels = read_mat(folder / "imagelabels.mat", ["labels"])["labels"]
        numbers = read_mat(folder / "setid.mat", list(PARTS.values()))[PARTS[split]].astype(int)
        if len(numbers) and not 1 <= numbers.min() <= numbers.max() <= len(labels):
            raise InputError(
                f"{folder / 'setid.mat'}: found image {numbers.max()}; "
                f"expected numbers from 1 to {len(labels)}, one for each label of imagelabels.mat"
            )
        files = [f"image_{number:05d}.jpg" for number in numbers]
        there = present(folder / "jpg", files)
        images = NamedFiles(folder / "jpg", as_names(file for file, found in zip(files, there, strict=True) if found))
        own = from_one(folder / "imagelabels.mat", labels[numbers - 1], len(NAMES))
        return Split(split, self.splits[split], images, own[there], self.metric)
