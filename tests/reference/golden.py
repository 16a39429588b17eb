"""Makes `golden/*.safetensors`: what each network gives in float64 on hashed weights, a hashed picture and a hashed
prompt, with its masks. The configuration is in the file's metadata, so a test needs nothing else. What other packages
have too is compared with them.

    python -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python golden.py

Beginnings of names, if any are given, say which files to make.
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

import hashed
from networks import ARCHITECTURES, Dcm, our_name
from published import implementations

HERE = Path(__file__).parent
MEAN = [0.4488, 0.4371, 0.4040]


def make(name: str, architecture: str, config: dict, height: int, width: int, amplitude: float, branch=1.0) -> None:
    if not name.startswith(tuple(sys.argv[1:]) or ""):
        return
    torch.set_default_dtype(torch.float64)
    arguments = {k: v for k, v in config.items() if v is not None}
    network = ARCHITECTURES[architecture](**arguments)
    with torch.no_grad():
        for key, value in network.named_parameters():
            weight = hashed.weight(our_name(key), tuple(value.shape))
            value.copy_(torch.from_numpy(hashed.damped(key, weight, branch)))
        picture = torch.from_numpy(hashed.numbers("picture", (1, 3, height, width), amplitude)).double()
        prompt = None
        if dcm := config.get("dcm") or (config.get("plus") or {}).get("dcm"):
            prompt = torch.from_numpy(hashed.prompt("prompt", dcm["dim"])).double()
        output = network(picture, prompt)[0]
        tensors = {our_name(key): value for key, value in network.state_dict().items()}
        for package, other in implementations(architecture, config, tensors):
            difference = float((other(picture)[0] - output).abs().max() / output.abs().max())
            print(f"{name}: {difference:.1e} from {package}")
            assert difference < 1e-10, f"{name} differs from {package}"
    spread = float(output.std() / (output.max() - output.min()))
    assert spread > 0.01, f"{name}: the output hardly varies ({spread:.4f} of its range)"
    tensors = {"output": output.numpy().astype(np.float32)}
    for key, module in network.named_modules():
        if isinstance(module, Dcm) and module.mask is not None:
            tensors[our_name(key) + ".mask"] = module.mask.numpy().astype(np.float32)
    for key, tap in getattr(network, "taps", {}).items():
        tensors[key] = tap[0].numpy().astype(np.float32)
    metadata = {
        "architecture": architecture,
        "config": json.dumps(config),
        "picture": json.dumps([3, height, width]),
        "amplitude": str(amplitude),
    }
    if branch != 1.0:
        metadata["branch"] = str(branch)
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


def compact(scale, **options):
    return dict(scale=scale, features=16, convs=12, modules=1, dcm=dcm(residual=True)) | options


def rcan(scale, **options):
    return dict(scale=scale, features=64, groups=10, blocks=20, squeezed=4, mean=MEAN) | options


def rdn(scale, **options):
    return dict(scale=scale, features=64, growth=64, blocks=16, layers=8) | options


def rrdb(scale, blocks, **options):
    unshuffle = {1: 4, 2: 2}.get(scale, 1)
    return dict(scale=scale, features=64, growth=32, blocks=blocks, unshuffle=unshuffle) | options


def spsr(scale, **options):
    return dict(scale=scale, features=64, growth=32, blocks=23) | options


def blocks_16(scale, **options):
    return dict(scale=scale, features=64, blocks=16) | options


def srvgg(scale, convs):
    return dict(scale=scale, features=64, convs=convs)


def main() -> None:
    for scale in (2, 3, 4):
        make(f"edsr_baseline_x{scale}", "edsr", edsr(scale), 8, 9, 128.0)
        make(f"imdn_x{scale}", "imdn", dict(scale=scale, features=64, blocks=6), 8, 9, 1.0)
    for scale in (2, 4):
        make(f"carn_x{scale}", "carn", dict(scale=scale, features=64, mean=MEAN), 6, 7, 0.5)
    make("edsr_x4", "edsr", edsr(4, 256, 32, 0.1), 6, 7, 128.0)
    make("edsr_baseline_plus_x4", "edsr", edsr(4, dcm=dcm()), 8, 9, 128.0)
    make("pdn_x2", "pdn", pdn(2), 8, 9, 1.0)
    make("pdn_x3", "pdn", pdn(3, groups=2, modules=3, dcm=dcm(residual=True)), 8, 9, 1.0)
    make("pdn_x4", "pdn", pdn(4), 8, 9, 1.0)
    make("pdn_channel_attention_x2", "pdn", pdn(2, groups=2, channel_attention=16), 8, 9, 1.0)
    for scale, modules in ((2, 2), (4, 1)):
        make(f"pdn_compact_x{scale}", "pdn-compact", compact(scale, modules=modules), 8, 9, 1.0)
    for scale, height, width in ((2, 8, 9), (3, 7, 8), (4, 6, 7), (8, 4, 5)):
        make(f"rcan_x{scale}", "rcan", rcan(scale), height, width, 8.0, 0.125)
        make(f"rdn_x{scale}", "rdn", rdn(scale), height, width, 128.0)
        make(f"srresnet_x{scale}", "srresnet", blocks_16(scale), height, width, 1.0)
        make(f"msrresnet_x{scale}", "msrresnet", blocks_16(scale), height, width, 1.0)
    make("rcan_x16", "rcan", rcan(16, groups=2, blocks=4), 2, 3, 8.0, 0.125)
    make("rdn_x16", "rdn", rdn(16, blocks=3), 2, 3, 128.0)
    make("rdn_a_x4", "rdn", rdn(4, growth=32, blocks=20, layers=6), 6, 7, 128.0)
    make("rcan_plus_x2", "rcan", rcan(2, plus=dict(modules=3, dcm=dcm())), 6, 7, 8.0, 0.125)
    make("rdn_plus_x2", "rdn", rdn(2, dcm=dcm()), 6, 7, 128.0)
    make("srresnet_plus_x4", "srresnet", blocks_16(4, dcm=dcm()), 5, 6, 1.0)
    make("msrresnet_plus_x4", "msrresnet", blocks_16(4, dcm=dcm()), 5, 6, 1.0)
    make("rrdb_23_x1", "rrdb", rrdb(1, 23), 16, 20, 1.0)
    make("rrdb_23_x2", "rrdb", rrdb(2, 23), 10, 12, 1.0)
    make("rrdb_23_x4", "rrdb", rrdb(4, 23), 6, 7, 1.0)
    make("rrdb_23_plus_x4", "rrdb", rrdb(4, 23, dcm=dcm()), 5, 6, 1.0)
    make("rrdb_6_x3", "rrdb", rrdb(3, 6), 6, 7, 1.0)
    make("rrdb_6_x4", "rrdb", rrdb(4, 6), 6, 7, 1.0)
    make("rrdb_6_x8", "rrdb", rrdb(8, 6), 4, 5, 1.0)
    make("rrdb_6_one_stage_x2", "rrdb", rrdb(2, 6, unshuffle=1), 6, 7, 1.0)
    make("spsr_x4", "spsr", spsr(4), 6, 7, 1.0)
    make("spsr_x2", "spsr", spsr(2, blocks=20), 7, 6, 1.0)
    make("spsr_plus_x3", "spsr", spsr(3, features=24, growth=8, blocks=4, interval=1, dcm=dcm(dim=48)), 6, 7, 1.0)
    for scale in (2, 3, 4):
        make(f"srvgg_compact_16_x{scale}", "srvgg", srvgg(scale, 16), 6, 7, 1.0)
    make("srvgg_compact_x4", "srvgg", srvgg(4, 32), 6, 7, 1.0)
    for kernel, attention, dynamic, residual in itertools.product((1, 3), *[(False, True)] * 3):
        options = dcm(dim=48, kernels=3, kernel=kernel, attention=attention, dynamic=dynamic, residual=residual)
        words = [f"k{kernel}"] + ["attention"] * attention + ["dynamic"] * dynamic + ["residual"] * residual
        make("dcm_" + "_".join(words), "edsr", edsr(2, 24, 2, dcm=options), 6, 7, 128.0)


if __name__ == "__main__":
    main()
