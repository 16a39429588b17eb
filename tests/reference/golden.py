"""Makes `golden/*.safetensors`: what each network gives in float64 on hashed weights, a hashed picture and a hashed
prompt, with its masks. The configuration is in the file's metadata, so a test needs nothing else.

    python -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python golden.py
"""

import itertools
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

import hashed
from networks import ARCHITECTURES, Dcm, our_name

HERE = Path(__file__).parent
MEAN = [0.4488, 0.4371, 0.4040]


def make(name: str, architecture: str, config: dict, height: int, width: int, amplitude: float) -> None:
    torch.set_default_dtype(torch.float64)
    arguments = {k: v for k, v in config.items() if v is not None}
    network = ARCHITECTURES[architecture](**arguments)
    with torch.no_grad():
        for key, value in network.named_parameters():
            value.copy_(torch.from_numpy(hashed.weight(our_name(key), tuple(value.shape))))
        picture = torch.from_numpy(hashed.numbers("picture", (1, 3, height, width), amplitude)).double()
        prompt = None
        if dcm := config.get("dcm"):
            prompt = torch.from_numpy(hashed.prompt("prompt", dcm["dim"])).double()
        output = network(picture, prompt)[0]
    spread = float(output.std() / (output.max() - output.min()))
    assert spread > 0.01, f"{name}: the output hardly varies ({spread:.4f} of its range)"
    tensors = {"output": output.numpy().astype(np.float32)}
    for key, module in network.named_modules():
        if isinstance(module, Dcm) and module.mask is not None:
            tensors[our_name(key) + ".mask"] = module.mask.numpy().astype(np.float32)
    metadata = {
        "architecture": architecture,
        "config": json.dumps(config),
        "picture": json.dumps([3, height, width]),
        "amplitude": str(amplitude),
    }
    path = HERE / "golden" / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(tensors, path, metadata)
    path.chmod(0o644)
    print(f"{name}: {path.stat().st_size} bytes, standard deviation {spread:.3f} of the range")


def edsr(scale, features=64, blocks=16, residual_scale=1.0, dcm=None):
    config = dict(scale=scale, features=features, blocks=blocks, residual_scale=residual_scale, mean=MEAN)
    return config | ({"dcm": dcm} if dcm else {})


def dcm(**options):
    default = dict(dim=512, kernels=4, kernel=3, temperature=7.0, attention=True, dynamic=True, residual=False)
    return default | options


def pdn(scale, **options):
    default = dict(scale=scale, features=64, groups=4, blocks=6, modules=2, dcm=dcm())
    return default | options


def main() -> None:
    for scale in (2, 3, 4):
        make(f"edsr_baseline_x{scale}", "edsr", edsr(scale), 8, 9, 128.0)
        make(f"imdn_x{scale}", "imdn", dict(scale=scale, features=64, blocks=6), 8, 9, 1.0)
    make("edsr_x4", "edsr", edsr(4, 256, 32, 0.1), 6, 7, 128.0)
    make("edsr_baseline_plus_x4", "edsr", edsr(4, dcm=dcm()), 8, 9, 128.0)
    make("pdn_x2", "pdn", pdn(2), 8, 9, 1.0)
    make("pdn_x3", "pdn", pdn(3, groups=2, modules=3, dcm=dcm(residual=True)), 8, 9, 1.0)
    make("pdn_x4", "pdn", pdn(4), 8, 9, 1.0)
    make("pdn_channel_attention_x2", "pdn", pdn(2, groups=2, channel_attention=16), 8, 9, 1.0)
    for kernel, attention, dynamic, residual in itertools.product((1, 3), *[(False, True)] * 3):
        options = dcm(dim=48, kernels=3, kernel=kernel, attention=attention, dynamic=dynamic, residual=residual)
        words = [f"k{kernel}"] + ["attention"] * attention + ["dynamic"] * dynamic + ["residual"] * residual
        make("dcm_" + "_".join(words), "edsr", edsr(2, 24, 2, dcm=options), 6, 7, 128.0)


if __name__ == "__main__":
    main()
