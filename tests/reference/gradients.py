"""Makes `gradients/*.safetensors`: the gradient of every parameter of small networks, by PyTorch in float64, of the mean of
the output times a hashed probe.

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
    options = config.get("dcm") or config.get("plus", {}).get("dcm")
    prompt = torch.from_numpy(hashed.prompt("prompt", options["dim"])).double() if options else None
    output = network(picture, prompt)
    probe = torch.from_numpy(hashed.numbers("probe", tuple(output.shape), 1.0)).double()
    (output * probe).mean().backward()
    # What only a tap reads has none.
    grads = {key: torch.zeros_like(value) if value.grad is None else value.grad for key, value in network.named_parameters()}
    gradients = {our_name(key): grad.numpy().astype(np.float32) for key, grad in grads.items()}
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
    # As many features as it takes for convolutions to be transformed.
    wide = dict(scale=2, features=16, blocks=1, residual_scale=1.0, mean=MEAN)
    make("edsr_wide_x2", "edsr", wide, 7, 9, 128.0)
    plus = dict(modules=2, dcm=small)
    rcan = dict(scale=2, features=6, groups=1, blocks=2, squeezed=2, mean=MEAN, plus=plus)
    make("rcan_plus_x2", "rcan", rcan, 7, 9, 8.0)
    make("rdn_plus_x2", "rdn", dict(scale=2, features=6, growth=4, blocks=2, layers=2, dcm=small), 7, 9, 128.0)
    make("srresnet_plus_x2", "srresnet", dict(scale=2, features=6, blocks=1, dcm=small), 7, 9, 1.0)
    make("msrresnet_plus_x4", "msrresnet", dict(scale=4, features=6, blocks=1, dcm=small), 7, 9, 1.0)
    make("rrdb_plus_x2", "rrdb", dict(scale=2, features=6, growth=4, blocks=1, unshuffle=2, dcm=small), 8, 10, 1.0)
    spsr = dict(scale=2, features=2, growth=2, blocks=4, interval=1, dcm=small)
    make("spsr_plus_x2", "spsr", spsr, 7, 9, 1.0)
    make("srvgg_x2", "srvgg", dict(scale=2, features=6, convs=2), 7, 9, 1.0)


if __name__ == "__main__":
    main()
