"""Makes `gradients/*.safetensors`: the gradient of every parameter of two small networks, by PyTorch in float64, of the
mean of the output times a hashed probe.

    venv/bin/python gradients.py
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

import hashed
from golden import MEAN, dcm
from networks import ARCHITECTURES, our_name

HERE = Path(__file__).parent / "gradients"


def make(name: str, architecture: str, config: dict, height: int, width: int, amplitude: float) -> None:
    torch.set_default_dtype(torch.float64)
    network = ARCHITECTURES[architecture](**config)
    with torch.no_grad():
        for key, value in network.named_parameters():
            value.copy_(torch.from_numpy(hashed.weight(our_name(key), tuple(value.shape))))
    picture = torch.from_numpy(hashed.numbers("picture", (1, 3, height, width), amplitude)).double()
    prompt = torch.from_numpy(hashed.prompt("prompt", config["dcm"]["dim"])).double()
    output = network(picture, prompt)
    probe = torch.from_numpy(hashed.numbers("probe", tuple(output.shape), 1.0)).double()
    (output * probe).mean().backward()
    gradients = {our_name(key): value.grad.numpy().astype(np.float32) for key, value in network.named_parameters()}
    metadata = {
        "architecture": architecture,
        "config": json.dumps(config),
        "picture": json.dumps([3, height, width]),
        "amplitude": str(amplitude),
    }
    HERE.mkdir(exist_ok=True)
    path = HERE / f"{name}.safetensors"
    save_file(gradients, path, metadata)
    path.chmod(0o644)
    print(f"{name}: {path.stat().st_size} bytes")


def main() -> None:
    small = dcm(dim=16, kernels=2)
    edsr = dict(scale=2, features=6, blocks=2, residual_scale=0.5, mean=MEAN, dcm=small)
    make("edsr_plus_x2", "edsr", edsr, 7, 9, 128.0)
    pdn = dict(scale=3, features=6, groups=1, blocks=2, modules=1, dcm=small | dict(residual=True))
    make("pdn_x3", "pdn", pdn, 7, 9, 1.0)


if __name__ == "__main__":
    main()
