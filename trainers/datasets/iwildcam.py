"""iWildCam 2020, as WILDS publishes it (iWildCam v2.0): animals in camera traps, shifted in place."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets.base import Dataset, Missing, Split
from flyp_sweep.trainers.datasets.copies import with_copies
from flyp_sweep.trainers.datasets.named_files import NamedFiles, as_names, image_names, read_table

FOLDER = "iwildcam_v2.0"
SOURCE = (
    "https://worksheets.codalab.org/rest/bundles/0x6313da2b204647e79a14b468131fcd64/contents/blob/ "
    "(WILDS, iWildCam v2.0, unpacked)"
)
PUBLISHED_AS = {"train": "train", "id_val": "id_val", "id_test": "id_test", "ood_val": "val", "ood_test": "test"}
"""Split -> its name in the publisher's metadata.csv."""

ENGLISH_NAMES = """
empty; white-lipped peccary; central american agouti; lowland paca; cougar; south american tapir; collared peccary;
red brocket; ocelot; ruddy quail-dove; south american coati; nine-banded armadillo; tayra; common opossum;
crab-eating raccoon; jaguar; giant anteater; great tinamou; tapeti; jaguarundi; margay; brown brocket;
gray four-eyed opossum; wild goat; cattle cow bull; sheep; wolf; scrub hare; olive baboon; common genet; cape bushbuck;
slender mongoose; african bush elephant; gambian pouched rat; steenbok; striped hyena; impala; spotted hyena; caracal;
wild horse; lion; common eland; waterbuck; common warthog; leopard; white-tailed mongoose; black-backed jackal;
african buffalo; plains zebra; giraffe; hartebeest; vervet monkey; günther's dik-dik; bushpig; grant's gazelle;
thomson's gazelle; common ostrich; aardvark; cheetah; white-bellied bustard; wildcat; east african oryx;
buff-crested bustard; kori bustard; black-bellied bustard; great argus; leopard cat; banded palm civet; indian muntjac;
wild boar; sun bear; sambar deer; malayan porcupine; asian golden cat; tiger; three-striped ground squirrel;
common emerald dove; cape genet; crested porcupine; african wild dog; rock hyrax; dog; unknown bird; unknown bat;
amazonian motmot; black agouti; geotrygon; white-nosed coati; northern tamandua; opossum; crested guan; hummingbird;
plain parakeet; dromedary; bat-eared fox; vulturine guineafowl; zebra; aardwolf; serval; greater kudu; hippopotamus;
spotted thick-knee; masked palm civet; marbled cat; dhole; asian water monitor; yellow-throated marten; banded linsang;
crested partridge; salvadori's pheasant; bronze-tailed peacock-pheasant; sunda pangolin; sumatran serow; macaque;
handsome spurfowl; l'hoest's monkey; black-fronted duiker; african brush-tailed porcupine; chimpanzee; blue monkey;
mountain squirrel; western yellow wagtail; yellow-whiskered greenbul; little greenbul; charming thicket rat;
forest giant squirrel; boehm's bush squirrel; yellow-backed duiker; common rufous-nosed rat; moustached grass warbler;
peters's striped mouse; african wading rat; stella wood mouse; servaline genet; side-striped jackal;
african pygmy mouse; ross's turaco; tambourine dove; tullberg's soft-furred mouse; big-eared swamp rat; egyptian goose;
link rat; grey-winged francolin; olive thrush; brocket deer; gray fox; ocellated turkey; great curassow; lowland paca;
baird's tapir; raccoon; white-tailed deer; grey-headed dove; central american red brocket; striped hog-nosed skunk;
yucatan brown brocket; plain chachalaca; thomas's langur; sunda clouded leopard; sumatran hog badger; mouse-deer;
sumatran treepie; rufous-vented niltava; silver-eared mesia; red-billed partridge; gallopheasants;
javan whistling thrush; crestless fireback; crested serpent eagle; blue whistling thrush; collared mongoose;
crab-eating fox; motorcycle; deer mouse; jaguarundi; bare-throated tiger heron; blue ground dove; red squirrel;
unknown bird; grey-cowled wood rail; unknown dove; central american red brocket
"""
"""WiSE-FT's and FLYP's names of the 182 classes, in label order. Four names stand for two classes each.

The publisher's own files have only Latin names.
"""


class IWildCam(Dataset):
    """182 kinds of animals in camera traps; OOD images come from traps in other places. Macro F1 as WILDS computes it.

    No split has all classes; labels index all of them. The publisher's metadata.csv lists each image's split, label and
    file in train/, the folder of all splits. Rows without an image file do not count, so an incomplete copy has fewer
    images.
    """

    name = "iwildcam"
    summary = "iWildCam-WILDS, camera traps, 182 classes, macro F1, OOD: traps of other places"

    class_names = tuple(name.strip() for name in ENGLISH_NAMES.split(";"))
    templates = ("a photo of {}.", "{} in the wild.")
    splits = {"train": "train", "id_val": "id_val", "id_test": "id_test", "ood_val": "ood_val", "ood_test": "ood"}
    metric = "macro_f1"
    published = {"train": 129_809, "id_val": 7_314, "id_test": 8_154, "ood_val": 14_961, "ood_test": 42_791}

    def missing(self) -> list[Missing]:
        """The publisher's metadata.csv and folder of images, if absent."""
        table, images = self.root / FOLDER / "metadata.csv", self.root / FOLDER / "train"
        absent = ([] if table.is_file() else [table]) + ([] if images.is_dir() else [images])
        return [Missing(path, with_copies(SOURCE, self.name)) for path in absent]

    def load(self, split: str) -> Split:
        """Return one split; raises InputError for an unknown one and for a damaged metadata.csv."""
        if split not in self.splits:
            raise InputError(f"data set 'iwildcam' has no split {split!r}; it has {', '.join(self.splits)}")
        names, labels, splits = self._rows
        rows = np.flatnonzero(splits == PUBLISHED_AS[split])
        rows = np.array([row for row in rows if names[row] in self._present], dtype=np.int64)
        folder = self.root / FOLDER / "train"
        if not len(rows):
            raise InputError(
                f"{folder}: found no image of {split!r} in metadata.csv; unpack the publisher's archive again"
            )
        images = NamedFiles(folder, as_names(names[rows]))
        return Split(split, self.splits[split], images, labels[rows], self.metric)

    @cached_property
    def _rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """File names, labels int64 and published split of every row of metadata.csv."""
        path = self.root / FOLDER / "metadata.csv"
        table = read_table(path, ["split", "y", "filename"])
        labels = {str(label): label for label in range(len(self.class_names))}
        unknown = [y for y in table["y"] if y not in labels]
        if unknown:
            raise InputError(f"{path}: found the label {unknown[0]!r}; expected 0 to {len(labels) - 1}; get it again")
        names, splits = (table[column].to_numpy(dtype=object) for column in ("filename", "split"))
        return names, np.array([labels[y] for y in table["y"]], dtype=np.int64), splits

    @cached_property
    def _present(self) -> set[str]:
        return set(image_names(self.root / FOLDER / "train"))
