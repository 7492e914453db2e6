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
    """How one trial trains."""

    epochs: Count = Field(default=10, ge=1, description="a whole number, 1 or more")
    """The most epochs that a trial runs. Early stopping may end it sooner."""
    batch_size: Count = Field(default=256, ge=2, description="a whole number, 2 or more")
    """Images per gradient step."""
    micro_batch: Count | None = Field(default=None, ge=1, description="auto, or a whole number, 1 or more")
    """Images that are encoded at a time. The gradient is still that of the whole batch. Left out, or `auto`: the whole
    batch at once, or as many images as GPU memory allows."""
    precision: Precision = "fp32"
    """`bf16` computes the encoders in bfloat16 under autocast, in training and in evaluation. Weights, heads, losses
    and the optimiser stay in float32."""
    compile: bool = Field(default=False, description="true or false")
    """Whether the image encoder trains in kernels of torch.compile."""
    crops: Crops = "exact"
    """`exact` cuts each random crop from the original image. `batched` resizes each image once per machine, then cuts
    crops on the trial's device."""
    augmentation: Augmentation = "clip"
    """`clip`: a random crop, as open_clip trains. `randaugment`: torchvision's RandAugment, then a random crop. `none`:
    the view of the evaluation. `flip`: that view, half of the time mirrored."""
    crop_scale: Annotated[tuple[Share, Share], FromList] | None = Field(
        default=None, description="two shares of an image's area, the smaller first, as in [0.9, 1.0]"
    )
    """The smallest and the largest share of an image's area that a random crop shows. Only `clip` and `randaugment`
    read it."""
    flip: bool | None = Field(default=None, description="true or false")
    """Whether half of the random crops are mirrored. Only `clip` and `randaugment` read it."""
    optimizer: Optimizer = "adamw"
    """`adamw`: torch's AdamW. `sgd`: SGD with a momentum of 0.9."""
    warmup: float | None = Field(default=None, ge=0, lt=1, description="a share of all steps: a number from 0, below 1")
    """The share of all steps, at most 500 steps, over which the learning rate rises linearly. It then falls as half a
    cosine. Not beside `warmup_steps`."""
    warmup_steps: Count | None = Field(default=None, ge=0, description="a whole number, 0 or more")
    """Steps over which the learning rate rises linearly, in place of `warmup`."""
    grad_clip: (
        Annotated[
            Annotated[Norm, Tag(NUMBER)] | Annotated[dict[MethodName, Norm], Tag(MAPPING)],
            Discriminator(shape),
        ]
        | None
    ) = Field(default=None, description="a number above 0, or a mapping from methods to such numbers")
    """The largest norm of a step's gradient. A mapping bounds the named methods only. Left out: no bound."""
    templates: Annotated[
        Annotated[Literal["all"], Tag(TEXT)] | Annotated[Count, Field(ge=1), Tag(NUMBER)], Discriminator(shape)
    ] = Field(default="all", description="all, or how many prompt templates: a whole number, 1 or more")
    """How many of the data set's prompt templates are used, from the first on."""
    pairs: Pairs = "images"
    """What an epoch of a contrastive loss holds. `images`: each image once, with a random template.
    `images_x_templates`: an equal share of all pairs of an image and a template; each pair comes once in as many epochs
    as there are templates."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="a number from 0, below 1")
    """Label smoothing of the cross-entropy over classes. Methods without such a loss ignore it."""
    layer_decay: float = Field(default=1.0, gt=0, le=1, description="a number above 0, at most 1")
    """The factor by which the learning rate of an encoder's layer falls per layer from the top. 1: all layers have the
    same."""

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
