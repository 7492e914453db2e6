"""The CLIP that ships with the package: small enough for a laptop CPU, pretrained on captioned renderings of digits.

`make checkpoint` rebuilds the checkpoint. No UCI or MNIST image was seen in pretraining.

    open_clip.add_model_config(CONFIG_DIR)
    clip = open_clip.create_model(ARCH, pretrained=str(CHECKPOINT))
"""

from pathlib import Path

ARCH = "digits-clip"
PARAMETERS = 3_619_265
CONFIG_DIR = Path(__file__).parent
CHECKPOINT = CONFIG_DIR / "digits-clip.safetensors"
