"""Functional Map of the World, as WILDS publishes it (FMoW v1.1): satellite images, shifted in time."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets.base import Dataset, Missing, Split
from flyp_sweep.trainers.datasets.copies import with_copies
from flyp_sweep.trainers.datasets.named_files import NamedFiles, as_names, image_names, read_table

FOLDER = "fmow_v1.1"
SOURCE = (
    "https://worksheets.codalab.org/rest/bundles/0xaec91eb7c9d548ebb15e1b5e60f966ab/contents/blob/ "
    "(WILDS, FMoW v1.1, unpacked)"
)
OOD_FROM, TEST_FROM = 2013, 2016
"""Images from before 2013 are ID, those from 2016 on are the OOD test set, those in between are OOD validation."""

REGIONS = ("Africa", "Americas", "Asia", "Europe", "Oceania")
NO_REGION = "no region"
"""Groups, in the order of their numbers.

As in WILDS, countries with an empty region in the table (Antarctica) form an additional, last group. Countries that
the table lacks have no group, and do not affect the worst region.
"""

CATEGORY_NAMES = """
airport airport_hangar airport_terminal amusement_park aquaculture archaeological_site barn border_checkpoint
burial_site car_dealership construction_site crop_field dam debris_or_rubble educational_institution
electric_substation factory_or_powerplant fire_station flooded_road fountain gas_station golf_course
ground_transportation_station helipad hospital impoverished_settlement interchange lake_or_pond lighthouse
military_facility multi-unit_residential nuclear_powerplant office_building oil_or_gas_facility park
parking_lot_or_garage place_of_worship police_station port prison race_track railway_bridge recreational_facility
road_bridge runway shipyard shopping_mall single-unit_residential smokestack solar_farm space_facility stadium
storage_tank surface_mine swimming_pool toll_booth tower tunnel_opening waste_disposal water_treatment_facility
wind_farm zoo
"""
CATEGORIES = tuple(CATEGORY_NAMES.split())


class ClassName(str):
    """A published class name, such as `airport_hangar`, that templates can format with spaces and an article.

    `{}` gives "airport_hangar", `{:a}` "an airport hangar", as in WiSE-FT's and FLYP's templates.
    """

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        if spec != "a":
            return super().__format__(spec)
        words = self.replace("_", " ")
        return f"an {words}" if words[0] in "aeiou" else f"a {words}"


class FMoW(Dataset):
    """Uses of land and buildings in 62 classes; training years are before 2013, OOD years from 2016 on.

    The years in between are OOD validation, also scored by the worst region.

    The publisher's rgb_metadata.csv lists each image's split, class, time and country. Row N, counted from 0 and
    including sequestered rows, is the image images/rgb_img_N.png. Rows without an image file do not count, so an
    incomplete copy has fewer images.
    """

    name = "fmow"
    summary = "FMoW-WILDS, satellite images of 62 classes, OOD: later years, scored on the worst region"

    class_names = tuple(map(ClassName, CATEGORIES))
    templates = (
        "satellite photo of a {}.",
        "aerial photo of a {}.",
        "satellite photo of {:a}.",
        "aerial photo of {:a}.",
        "satellite photo of a {} in asia.",
        "aerial photo of a {} in asia.",
        "satellite photo of a {} in africa.",
        "aerial photo of a {} in africa.",
        "satellite photo of a {} in the americas.",
        "aerial photo of a {} in the americas.",
        "satellite photo of a {} in europe.",
        "aerial photo of a {} in europe.",
        "satellite photo of a {} in oceania.",
        "aerial photo of a {} in oceania.",
        "a photo of a {}.",
        "{}.",
    )
    splits = {"train": "train", "id_val": "id_val", "id_test": "id_test", "ood_val": "ood_val", "ood_test": "ood"}
    published = {"train": 76_863, "id_val": 11_483, "id_test": 11_327, "ood_val": 19_915, "ood_test": 22_108}

    def missing(self) -> list[Missing]:
        """The publisher's two tables and its folder of images, if absent."""
        folder = self.root / FOLDER
        tables = [folder / name for name in ("rgb_metadata.csv", "country_code_mapping.csv")]
        absent = [path for path in tables if not path.is_file()]
        absent += [path for path in (folder / "images",) if not path.is_dir()]
        return [Missing(path, with_copies(SOURCE, self.name)) for path in absent]

    def load(self, split: str) -> Split:
        """Return one split, with its regions as groups; raises InputError for an unknown one and for damaged tables."""
        if split not in self.splits:
            raise InputError(f"data set 'fmow' has no split {split!r}; it has {', '.join(self.splits)}")
        folder = self.root / FOLDER
        rows = np.flatnonzero(self._split_names == split)
        rows = np.array([row for row in rows if f"rgb_img_{row}.png" in self._present], dtype=np.int64)
        groups = self._groups[rows]
        if not (groups >= 0).any():
            raise InputError(
                f"{folder}: found no image of {split!r} in a region of the world; unpack the archive again"
            )
        images = NamedFiles(folder / "images", as_names(f"rgb_img_{row}.png" for row in rows))
        metric = "worst_group_accuracy" if split in ("ood_val", "ood_test") else self.metric
        role, labels = self.splits[split], self._labels[rows]
        return Split(split, role, images, labels, metric, groups=groups, group_names=(*REGIONS, NO_REGION))

    @cached_property
    def _table(self) -> dict[str, np.ndarray]:
        columns = ["split", "category", "country_code", "timestamp"]
        table = read_table(self.root / FOLDER / "rgb_metadata.csv", columns)
        return {name: table[name].to_numpy(dtype=object) for name in columns}

    @cached_property
    def _present(self) -> set[str]:
        return set(image_names(self.root / FOLDER / "images"))

    @cached_property
    def _split_names(self) -> np.ndarray:
        """Each row's split among `splits`; empty for other rows."""
        drawn, years = self._table["split"], self._years
        names = np.full(len(drawn), "", dtype=object)
        before = years < OOD_FROM
        names[before & (drawn == "train")] = "train"
        names[before & (drawn == "val")] = "id_val"
        names[before & (drawn == "test")] = "id_test"
        names[~before & (years < TEST_FROM) & (drawn == "val")] = "ood_val"
        names[(years >= TEST_FROM) & (drawn == "test")] = "ood_test"
        return names

    @cached_property
    def _years(self) -> np.ndarray:
        """The year of each row in UTC."""
        import pandas as pd

        try:
            times = pd.to_datetime(pd.Series(self._table["timestamp"]), utc=True, format="ISO8601")
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self.root / FOLDER / 'rgb_metadata.csv'}: found a timestamp that is none ({reason}); "
                "expected times such as 2015-12-27T08:12:42Z; get the file again"
            ) from error
        return times.dt.year.to_numpy()

    @cached_property
    def _labels(self) -> np.ndarray:
        numbers = {category: label for label, category in enumerate(CATEGORIES)}
        unknown = [name for name in self._table["category"] if name not in numbers]
        if unknown:
            raise InputError(
                f"{self.root / FOLDER / 'rgb_metadata.csv'}: found the category {unknown[0]!r}; "
                f"expected one of FMoW's {len(CATEGORIES)}; get the file again"
            )
        return np.array([numbers[name] for name in self._table["category"]], dtype=np.int64)

    @cached_property
    def _groups(self) -> np.ndarray:
        """Each row's region number, -1 if the table lacks its country."""
        countries = read_table(self.root / FOLDER / "country_code_mapping.csv", ["alpha-3", "region"])
        regions = dict(zip(countries["alpha-3"], countries["region"], strict=True))
        numbers = {region: number for number, region in enumerate((*REGIONS, ""))}
        of_country = {code: numbers.get(region, -1) for code, region in regions.items()}
        return np.array([of_country.get(code, -1) for code in self._table["country_code"]], dtype=np.int64)
