"""How trials train: the section `train` of a search space, with its defaults and checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from flyp_sweep.search_spaces.complaints import mismatch
from flyp_sweep.search_spaces.fields import MAPPING, NUMBER, TEXT, Count, FromList, MethodName, Section, shape

WARMUP, MOST_WARMUP_STEPS = 0.05, 500
"""The default warm-up: this share of all steps, and no more than the paper's steps."""
CROPPED = ("clip", "randaugment")
"""The augmentations whose views are random crops."""
CROPPED_VIEWS = {"crop_scale": [0.9, 1.0], "flip": False}
"""Their defaults."""

Augmentation = Literal["none", "flip", "clip", "randaugment"]
Precision = Literal["fp32", "bf16"]
Crops = Literal["exact", "batched"]
Optimizer = Literal["adamw", "sgd"]
Pairs = Literal["images", "images_x_templates"]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Norm = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Train(Section):
    """How one trial trains; `epochs` is the most it may take, early stopping may end it sooner.

    Gradients are those of `batch_size` images, encoded `micro_batch` at a time; `auto`, which is None, is all at once,
    or as many as there is memory for. With `precision` bf16 the encoders compute in bfloat16 where autocast holds that
    to be safe, in training and in evaluation. With `compile` the image encoder trains in kernels made for it.
    `crops` are cut from each image as it is, or, batched, from images that were brought to the model's size before.
    `augmentation` is `clip`: a random crop, with a share of the image's area within `crop_scale`, as open_clip trains;
    with `flip`, half of the views are mirrored, at random. `randaugment` is that, after torchvision's RandAugment of
    the image. `none` is the view of the evaluation, `flip` that view mirrored half of the time, at random: these two
    leave `crop_scale` and `flip` None.
    `optimizer` is AdamW as torch has it, or SGD with a momentum of 0.9, as CoOp's authors train.
    An epoch of `images` pairs each image with a template; one of `images_x_templates` holds as many of all pairs of an
    image and a template, of which each comes once in as many epochs as there are templates, as in FLYP's code.
    The learning rate rises over `warmup`, a share of all steps, or over `warmup_steps`; one of the two is None.
    `grad_clip` bounds the norm of each step's gradient: of all methods, or of those that it names (None: no bound).
    `label_smoothing` is that of the cross-entropy over classes, where a method's loss has one.
    `layer_decay` multiplies the learning rate of an encoder's layer once for each layer from the top.
    """

    epochs: Count = Field(default=10, ge=1, description="a whole number, 1 or more")
    """The most epochs of a trial. Early stopping may end it sooner."""
    batch_size: Count = Field(default=256, ge=2, description="a whole number, 2 or more")
    """Images per step."""
    micro_batch: Count | None = Field(default=None, ge=1, description="auto, or a whole number, 1 or more")
    """Images that are encoded at once. Without it, as many as there is memory for."""
    precision: Precision = "fp32"
    """The arithmetic of the encoders."""
    compile: bool = Field(default=False, description="true or false")
    """Whether torch.compile makes kernels for the image encoder."""
    crops: Crops = "exact"
    """Whether crops are cut from each image as it is, or faster, from images brought to the model's size."""
    augmentation: Augmentation = "clip"
    """The training views: random crops (clip), RandAugment before these, mirroring alone (flip), or none."""
    crop_scale: Annotated[tuple[Share, Share], FromList] | None = Field(
        default=None, description="two shares of an image's area, the smaller first, as in [0.9, 1.0]"
    )
    """The smallest and the largest share of an image's area in a random crop."""
    flip: bool | None = Field(default=None, description="true or false")
    """Whether half of the random crops are mirrored."""
    optimizer: Optimizer = "adamw"
    """AdamW, or SGD with a momentum of 0.9."""
    warmup: float | None = Field(default=None, ge=0, lt=1, description="a share of all steps: a number from 0, below 1")
    """The share of all steps over which the learning rate rises, 500 steps at most."""
    warmup_steps: Count | None = Field(default=None, ge=0, description="a whole number, 0 or more")
    """The same as a number of steps, in place of warmup."""
    grad_clip: (
        Annotated[
            Annotated[Norm, Tag(NUMBER)] | Annotated[dict[MethodName, Norm], Tag(MAPPING)],
            Discriminator(shape),
        ]
        | None
    ) = Field(default=None, description="a number above 0, or a mapping from methods to such numbers")
    """The largest norm of a gradient, of all methods or of single ones. Without it, there is no bound."""
    templates: Annotated[
        Annotated[Literal["all"], Tag(TEXT)] | Annotated[Count, Field(ge=1), Tag(NUMBER)], Discriminator(shape)
    ] = Field(default="all", description="all, or how many prompt templates: a whole number, 1 or more")
    """How many prompt templates training uses."""
    pairs: Pairs = "images"
    """An epoch holds each image with one template, or as many of all pairs of images and templates."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="a number from 0, below 1")
    """The label smoothing of the cross-entropy over classes."""
    layer_decay: float = Field(default=1.0, gt=0, le=1, description="a number above 0, at most 1")
    """The factor of the learning rate from each layer of an encoder to the one below."""

    @field_validator(
        "micro_batch", mode="before", json_schema_input_type=Literal["auto"] | Annotated[int, Field(ge=1)] | None
    )
    @classmethod
    def _auto_is_none(cls, value: object) -> object:
        return None if value == "auto" else value

    @model_validator(mode="before")
    @classmethod
    def _one_warmup(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given = [key for key in ("warmup", "warmup_steps") if data.get(key) is not None]
        if len(given) > 1:
            hint = "(leave one out, or set it to null)"
            raise mismatch(data["warmup_steps"], "nothing beside train.warmup", hint, at=("warmup_steps",))
        return data if given else {**data, "warmup": WARMUP}

    @model_validator(mode="before")
    @classmethod
    def _crops_have_a_scale(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("augmentation", "clip") not in CROPPED:
            return data
        given = {key: value for key, value in data.items() if value is not None}
        return {**data, **{key: given.get(key, default) for key, default in CROPPED_VIEWS.items()}}

    @field_validator("crop_scale")
    @classmethod
    def _smaller_share_first(cls, scale: tuple[float, float] | None) -> tuple[float, float] | None:
        if scale is not None and scale[0] > scale[1]:
            raise mismatch(list(scale), "the smaller share first", f"(write {list(reversed(scale))})")
        return scale

    @model_validator(mode="after")
    def _one_augmentation(self) -> Self:
        if self.augmentation not in CROPPED:
            for key, value in (("crop_scale", self.crop_scale), ("flip", self.flip)):
                if value is not None:
                    found = list(value) if isinstance(value, tuple) else value
                    hint = "(or augmentation: clip, or randaugment)"
                    raise mismatch(found, f"nothing with train.augmentation {self.augmentation}", hint, at=(key,))
        elif self.augmentation == "randaugment" and self.crops == "batched":
            expected = "exact with train.augmentation randaugment, which changes each image before its crop"
            raise mismatch(self.crops, expected, at=("crops",))
        return self

    @property
    def flips(self) -> bool:
        """Whether half of the training views are mirrored."""
        return self.augmentation == "flip" or bool(self.flip)

    def warmup_of(self, steps: int) -> int:
        """Warm-up steps of a training of so many `steps`."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        assert self.warmup is not None, "one of the two is given"
        return min(round(self.warmup * steps), MOST_WARMUP_STEPS)

    def grad_clip_of(self, method: str) -> float | None:
        """The largest norm of a gradient of `method`; None: there is no bound."""
        return self.grad_clip.get(method) if isinstance(self.grad_clip, dict) else self.grad_clip

    @model_validator(mode="after")
    def _part_is_no_larger_than_the_whole(self) -> Self:
        if self.micro_batch is not None and self.micro_batch > self.batch_size:
            expected = f"at most train.batch_size, {self.batch_size}"
            raise mismatch(self.micro_batch, expected, "(or leave it out)", at=("micro_batch",))
        return self
