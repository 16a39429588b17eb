"""The same networks as other people wrote them, from PyPI: basicsr, spandrel and torchsr. `golden.py` compares.

Each takes tensors under our names and gives a function from and to the network's own numbers, as `networks.py` has them,
so that what a package does to the range of its pictures is undone, and thereby checked.
"""

import importlib
import importlib.util
import re
import sys
import types
from pathlib import Path

import spandrel
import torch

MEAN = torch.tensor([0.4488, 0.4371, 0.4040], dtype=torch.float64).view(1, 3, 1, 1)
BASICSR = Path(importlib.util.find_spec("basicsr").submodule_search_locations[0])


def basicsr(module: str, name: str):
    """A network of basicsr, without the parts of the package that no longer import (and none of which it needs)."""
    for package, attributes in {
        "basicsr": {},
        "basicsr.archs": {},
        "basicsr.utils": {"get_root_logger": None},
        "basicsr.ops": {},
        "basicsr.ops.dcn": {"ModulatedDeformConvPack": object, "modulated_deform_conv": None},
    }.items():
        if package not in sys.modules:
            stub = sys.modules[package] = types.ModuleType(package)
            stub.__path__ = [str(BASICSR.joinpath(*package.split(".")[1:]))]
            vars(stub).update(attributes)
    return getattr(importlib.import_module(f"basicsr.archs.{module}"), name)


def from_255(network):
    """A network on 0..1 that takes the mean off itself, as a function of `255 (rgb - mean)`."""
    return lambda x: (network(x / 255 + MEAN) - MEAN) * 255


def from_1(network):
    """The same, as a function of `rgb - mean`."""
    return lambda x: network(x + MEAN) - MEAN


def loaded(network, tensors):
    network.load_state_dict(tensors)
    return network.double().eval()


def renamed(tensors, *rules):
    names = {}
    for name, tensor in tensors.items():
        for pattern, replacement in rules:
            name = re.sub(f"^{pattern}", replacement, name)
        names[name] = tensor
    return names


def with_spandrel(tensors):
    model = spandrel.ModelLoader().load_from_state_dict(dict(tensors))
    return model.model.double().eval()


def doubled(match):
    return f"{match[1]}{2 * int(match[2])}."


def implementations(architecture: str, config: dict, tensors: dict):
    """(package, function) for each that has the network at this scale."""
    if config.get("dcm") or config.get("plus"):
        return
    scale, features = config["scale"], config["features"]
    if architecture == "carn" and scale <= 4:
        network = importlib.import_module("torchsr.models.carn").CARN(scale)
        scales = network.state_dict()  # It has the upsamplers of all scales, of which it uses one.
        yield "torchsr", from_1(loaded(network, scales | renamed(tensors, (r"upsample\.up\.", f"upsample.up{scale}."))))
    if architecture == "rdn" and scale <= 4:
        network = importlib.import_module("torchsr.models.rdn").RDN(scale, features, config["blocks"], config["layers"], config["growth"])
        last = 2 if scale < 4 else 4
        yield "torchsr", loaded(network, renamed(
            tensors, (rf"UPNet\.{last}\.", "output."), (r"UPNet\.", "upscale."), (r"SFENet", "sfe"), (r"GFF", "gff"),
            (r"RDBs\.(\d+)\.LFF", r"rdbs.\1.lff"), (r"RDBs\.(\d+)\.convs\.(\d+)\.conv\.0", r"rdbs.\1.layers.\2.conv")))
    if architecture == "rcan":
        network = basicsr("rcan_arch", "RCAN")(3, 3, features, config["groups"], config["blocks"], upscale=scale)
        yield "basicsr", from_255(loaded(network, renamed(
            tensors, (r"(upsample\.)(\d+)\.", doubled),
            (r"body\.(\d+)\.blocks\.(\d+)\.conv1", r"body.\1.residual_group.\2.rcab.0"),
            (r"body\.(\d+)\.blocks\.(\d+)\.conv2", r"body.\1.residual_group.\2.rcab.2"),
            (r"body\.(\d+)\.blocks\.(\d+)\.attention\.0", r"body.\1.residual_group.\2.rcab.3.attention.1"),
            (r"body\.(\d+)\.blocks\.(\d+)\.attention\.2", r"body.\1.residual_group.\2.rcab.3.attention.3"))))
        eye = torch.eye(3).view(3, 3, 1, 1)
        shift = {"sub_mean.weight": eye, "sub_mean.bias": -255 * MEAN.flatten(),
                 "add_mean.weight": eye, "add_mean.bias": 255 * MEAN.flatten()}
        yield "spandrel", from_255(with_spandrel(shift | renamed(
            tensors, (r"conv_first", "head.0"), (r"conv_last", "tail.1"), (r"conv_after_body", f"body.{config['groups']}"),
            (r"upsample\.(\d+)\.", lambda m: f"tail.0.{2 * int(m[1])}."),
            (r"body\.(\d+)\.conv\.", rf"body.\1.body.{config['blocks']}."),
            (r"body\.(\d+)\.blocks\.(\d+)\.conv1", r"body.\1.body.\2.body.0"),
            (r"body\.(\d+)\.blocks\.(\d+)\.conv2", r"body.\1.body.\2.body.2"),
            (r"body\.(\d+)\.blocks\.(\d+)\.attention", r"body.\1.body.\2.body.3.conv_du"))))
    if architecture == "rrdb":
        if scale == 4 or config["unshuffle"] > 1:
            network = basicsr("rrdbnet_arch", "RRDBNet")(3, 3, scale, features, config["blocks"], config["growth"])
            yield "basicsr", loaded(network, tensors)
        if scale != 3:  # which spandrel, too, takes for x2
            yield "spandrel", with_spandrel(esrgan_first(tensors, config))
    if architecture == "msrresnet" and scale <= 4:
        yield "basicsr", loaded(basicsr("srresnet_arch", "MSRResNet")(3, 3, features, config["blocks"], scale), tensors)
    if architecture == "srvgg":
        network = basicsr("srvgg_arch", "SRVGGNetCompact")(3, 3, features, config["convs"], scale)
        yield "basicsr", loaded(network, tensors)
        yield "spandrel", with_spandrel(tensors)


def esrgan_first(tensors, config):
    """RRDBNet's tensors under the names of ESRGAN's first files."""
    stages = (config["scale"] * config["unshuffle"]).bit_length() - 1
    return renamed(
        tensors, (r"conv_first", "model.0"), (r"conv_body", f"model.1.sub.{config['blocks']}"),
        (r"conv_up(\d+)", lambda m: f"model.{3 * int(m[1])}"), (r"conv_hr", f"model.{3 * stages + 2}"),
        (r"conv_last", f"model.{3 * stages + 4}"),
        (r"body\.(\d+)\.rdb(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0"))
