"""Image folders in domains, as DomainBed keeps them: `domain/class/image`."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from flyp_sweep.search_spaces.complaints import FieldError, mismatch, problem
from flyp_sweep.search_spaces.fields import FromList, Text, Unique
from flyp_sweep.search_spaces.own_data import SPLITS, HeldOut, OwnDataset, Splits

DEFAULT_HELD_OUT = 0.2
"""DomainBed's share of each domain that validates."""
_HELD_OUT = "{from: train, fraction: 0.2} to hold out a fifth of each ID domain and class"

Domains = Annotated[tuple[Text, ...], FromList, Unique, Field(min_length=1)]


class DomainDataset(OwnDataset):
    """A data set in domains: the ID domains together are the training split, each OOD domain is an OOD split.

    With `leave_one_out` it stands for a data set for each domain in turn, which is OOD while the others are ID; to
    evaluate on, it is all of them.
    """

    key: ClassVar[str] = "domains"
    splits_key: ClassVar[str] = ""

    domains: Text = Field(description="the path of a folder of domains")
    id_domains: Domains | None = Field(default=None, description="a list of domains to train on, as in [art, clipart]")
    ood_domains: Domains | None = Field(default=None, description="a list of domains to test on, as in [real_world]")
    leave_one_out: Annotated[Domains, Field(min_length=2)] | None = Field(
        default=None, description="a list of 2 domains or more, each of which is OOD in turn"
    )
    id_val: HeldOut | None = Field(default=None, description=_HELD_OUT)
    id_test: HeldOut | None = Field(default=None, description=_HELD_OUT)

    @property
    def sources(self) -> Splits:
        """The places of OOD splits are their domains, that of the training split names the ID domains."""
        if self.leave_one_out is not None:
            return Splits(ood={domain: domain for domain in self.leave_one_out})
        train = None if self.id_domains is None else ", ".join(self.id_domains)
        ood = {domain: domain for domain in self.ood_domains or ()}
        return Splits(train=train, id_val=self.id_val, id_test=self.id_test, ood=ood)

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

    @model_validator(mode="after")
    def _domains_have_one_role(self) -> Self:
        told = self.id_domains or self.ood_domains
        if self.leave_one_out is not None and told is not None:
            key = "id_domains" if self.id_domains else "ood_domains"
            raise mismatch(list(told), "nothing beside leave_one_out, which says it of all domains", at=(key,))
        if self.leave_one_out is None and told is None:
            raise FieldError(problem("no domain", "id_domains and ood_domains, or leave_one_out"))
        for domain in self.ood_domains or ():
            if domain in (self.id_domains or ()):
                raise mismatch(domain, "a domain that is not among id_domains", at=("ood_domains",))
        return self

    @model_validator(mode="after")
    def _domains_have_names(self) -> Self:
        for key in ("id_domains", "ood_domains", "leave_one_out"):
            for domain in getattr(self, key) or ():
                if "/" in domain or domain in SPLITS:
                    expected = f"the name of a folder, not {', '.join(SPLITS)}, without '/'"
                    raise mismatch(domain, expected, at=(key,))
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
            if held is None:
                continue
            if self.id_domains is None and self.leave_one_out is None:
                raise FieldError(problem("no id_domains", "the domains that it is held out of"), at=(key, "from"))
            if held.folds and (key == "id_test" or (self.leave_one_out and held.fold is None)):
                folds = (
                    "a fraction: folds are for id_val" if key == "id_test" else "a fraction, or one fold as in fold: 1"
                )
                raise mismatch(held.folds, folds, at=(key, "folds"))
        return self


def _slug(domain: str) -> str:
    """A domain as part of the name of a data set: `Real World` as `real_world`."""
    return re.sub(r"[^a-z0-9_.-]+", "_", domain.lower())
