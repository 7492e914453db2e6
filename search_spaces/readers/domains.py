"""Image folders in domains, as DomainBed keeps them: `domain/class/image`."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Self

from pydantic import Discriminator, Field, Tag, model_validator

from flyp_sweep.search_spaces.complaints import FieldError, mismatch, problem
from flyp_sweep.search_spaces.fields import LIST, MAPPING, FromList, Text, Unique, repeated, shape
from flyp_sweep.search_spaces.own_data import SPLITS, HeldOut, OwnDataset, Splits

DEFAULT_HELD_OUT = 0.2
"""DomainBed's share of each domain that validates."""

Domains = Annotated[tuple[Text, ...], FromList, Unique, Field(min_length=1)]
Part = (
    Annotated[Annotated[Domains, Tag(LIST)] | Annotated[HeldOut, Tag(MAPPING)], Discriminator(shape)] | None
)  # domains of their own, or a share of the ID domains
_PART = "a list of domains, or {from: train, fraction: 0.2} to hold out a fifth of each ID domain and class"


class DomainDataset(OwnDataset):
    """Image folders in domains, as DomainBed keeps them.

    The ID domains together are the training split. Each OOD domain is an OOD split. `leave_one_out` stands for one data
    set per domain. Under `evaluate`, `leave_one_out` makes an OOD split of each domain.
    """

    key: ClassVar[str] = "domains"
    splits_key: ClassVar[str] = ""

    domains: Text = Field(description="the path of a folder of domains")
    """The folder of the domains, with files `domain/class/image`."""
    id_domains: Domains | None = Field(default=None, description="a list of domains to train on, as in [art, clipart]")
    """The domains that together are the training split."""
    ood_domains: Domains | None = Field(default=None, description="a list of domains to test on, as in [real_world]")
    """The domains that are OOD sets."""
    leave_one_out: Annotated[Domains, Field(min_length=2)] | None = Field(
        default=None, description="a list of 2 domains or more, each of which is OOD in turn"
    )
    """Each of these domains is OOD in turn, while the others are ID. In place of `id_domains` and `ood_domains`."""
    id_val: Part = Field(default=None, description=_PART)
    """What validates. Left out: a fifth of each class of each ID domain is held out."""
    id_test: Part = Field(default=None, description=_PART)
    """What is ID test. Left out: no ID test."""

    def domains_of(self, split: str) -> tuple[str, ...]:
        """The domains in which the images of a split lie; those of an OOD split are called as it."""
        own = {"train": self.id_domains, "id_val": self.id_val, "id_test": self.id_test}.get(split, (split,))
        return (self.id_domains if isinstance(own, HeldOut) else own) or ()

    @property
    def sources(self) -> Splits:
        """The place of a split names its domains."""
        if self.leave_one_out is not None:
            return Splits(ood={domain: domain for domain in self.leave_one_out})
        train, id_val, id_test = (", ".join(self.domains_of(split)) or None for split in SPLITS)
        return Splits(
            train=train,
            id_val=self.id_val if isinstance(self.id_val, HeldOut) else id_val,
            id_test=self.id_test if isinstance(self.id_test, HeldOut) else id_test,
            ood={domain: domain for domain in self.ood_domains or ()},
        )

    def to_train_on(self) -> Self:
        if self.id_domains is None and self.leave_one_out is None:
            expected = "a list of domains to train on, or leave_one_out"
            raise FieldError(problem("nothing", expected), at=("id_domains",))
        default = HeldOut.model_validate({"from": "train", "fraction": DEFAULT_HELD_OUT})
        given = {"metric": self.metric or "accuracy", "id_val": self.id_val or default}
        return self.model_copy(update=given)

    def parts(self) -> tuple[str, dict[str, Self]]:
        if self.leave_one_out is None:
            return super().parts()
        return "domain", {domain: self._without(domain) for domain in self.leave_one_out}

    def _without(self, domain: str) -> Self:
        """The data set that has `domain` as OOD and the others as ID."""
        others = tuple(one for one in self.leave_one_out or () if one != domain)
        own = {"leave_one_out": None, "id_domains": others, "ood_domains": (domain,)}
        return self.model_copy(update={"name": f"{self.name}-{_slug(domain)}", **own})

    @property
    def _named(self) -> dict[str, tuple[str, ...]]:
        """The keys that name domains, and which."""
        keys = ("id_domains", "ood_domains", "leave_one_out", "id_val", "id_test")
        return {key: found for key in keys if isinstance(found := getattr(self, key), tuple)}

    @model_validator(mode="after")
    def _domains_have_one_role(self) -> Self:
        named = self._named
        if "leave_one_out" in named and len(named) > 1:
            key = next(key for key in named if key != "leave_one_out")
            raise mismatch(list(named[key]), "nothing beside leave_one_out, which says it of all domains", at=(key,))
        if not named:
            raise FieldError(problem("no domain", "id_domains and ood_domains, or leave_one_out"))
        for domain in repeated(one for found in named.values() for one in found):
            key = [key for key, found in named.items() if domain in found][-1]
            raise mismatch(domain, "every domain in one of the lists", at=(key,))
        return self

    @model_validator(mode="after")
    def _domains_have_names(self) -> Self:
        for key, found in self._named.items():
            for domain in found:
                if "/" in domain:
                    raise mismatch(domain, "the name of a folder, without '/'", at=(key,))
        _ = self.sources  # whose own checks see the names of OOD domains
        slugs = [_slug(domain) for domain in self.leave_one_out or ()]
        if len(set(slugs)) < len(slugs):
            raise mismatch(
                list(self.leave_one_out or ()), "names that differ in more than case and signs", at=("leave_one_out",)
            )
        return self

    @model_validator(mode="after")
    def _held_out_of_domains(self) -> Self:
        for key in ("id_val", "id_test"):
            held = getattr(self, key)
            if not isinstance(held, HeldOut) or not held.folds:
                continue
            if key == "id_test" or (self.leave_one_out and held.fold is None):
                instead = ": folds are for id_val" if key == "id_test" else ", or one fold as in fold: 1"
                raise mismatch(held.folds, f"a fraction{instead}", at=(key, "folds"))
        return self


def _slug(domain: str) -> str:
    """A domain as part of the name of a data set: `Real World` as `real_world`."""
    return re.sub(r"[^a-z0-9_.-]+", "_", domain.lower())
