"""Code for plain open_clip that predicts with an exported folder, bit for bit as in the trial."""

from __future__ import annotations

from flyp_sweep.trainers.exporting.facts import Facts

HEAD = """\
import json, sys
import open_clip, torch
from PIL import Image
from safetensors.torch import load_file

FOLDER = "."  # this folder; huggingface_hub.snapshot_download("ORGANISATION/NAME") fetches one from the hub
torch.set_num_threads({threads})  # as the trial had: the last bits depend on it
clip, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{{FOLDER}}", device="{device}")
clip.eval()
head = load_file(f"{{FOLDER}}/head.safetensors", device="{device}")
labels = json.load(open(f"{{FOLDER}}/labels.json", encoding="utf-8"))


@torch.no_grad()
def logits(paths):
    images = torch.stack([prepare(Image.open(path).convert("RGB")) for path in paths]){to_device}
{encode}
    features = torch.nn.functional.normalize(features, dim=-1)
{adapt}    {result} torch.nn.functional.linear(features, head["weight"], head.get("bias"))
"""

ADAPT = """\
    hidden = torch.nn.functional.linear(features, head["adapter_down"]).relu()
    learned = torch.nn.functional.linear(hidden, head["adapter_up"]).relu()
    features = head["adapter_ratio"] * learned + (1 - head["adapter_ratio"]) * features
    features = torch.nn.functional.normalize(features, dim=-1)
"""

VOTES = """\
    for keys, own in zip(head["cache_keys"].split(16384), head["cache_labels"].split(16384)):
        votes = torch.exp(-head["cache_sharpness"] * (1 - features @ keys.T))
        found = found + head["cache_weight"] * votes @ torch.nn.functional.one_hot(own, found.shape[1]).to(votes)
    return found
"""

FOOT = """

paths = sys.argv[1:]
for at in range(0, len(paths), {batch}):  # batches of {batch}, as the trial had
    for path, row in zip(paths[at:], logits(paths[at : at + {batch}])):
        print(path, labels[row.argmax()])
"""

FP32 = "    features = clip.encode_image(images, normalize=False)"
BF16 = """\
    with torch.autocast("{device}", torch.bfloat16):
        features = clip.encode_image(images, normalize=False).float()"""


def snippet(facts: Facts, votes: bool, adapter: bool) -> str:
    """Python code that needs only torch, open_clip and Pillow.

    `votes`: the head includes votes of training images; `adapter`: the head includes a feature adapter.
    """
    head = HEAD.format(
        threads=facts.threads,
        device=facts.device,
        to_device="" if facts.device == "cpu" else f'.to("{facts.device}")',
        encode=FP32 if facts.precision == "fp32" else BF16.format(device=facts.device),
        adapt=ADAPT if adapter else "",
        result="found =" if votes else "return",
    )
    return head + (VOTES if votes else "") + FOOT.format(batch=facts.batch)
