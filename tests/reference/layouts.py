"""Makes `layouts/*`: a small network in each layout of checkpoints that `pdn` reads, its numbers hashed from its keys, as
the projects save it, and in `expected.safetensors` what each makes of a hashed picture in 0..1, in float64.

Everything is run by the packages themselves where they have the network, on the keys that stand in the file.

    venv/bin/python layouts.py
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

import hashed
from networks import Carn, Rdn, conv
from published import MEAN, basicsr, esrgan_first, loaded, renamed, with_spandrel

HERE = Path(__file__).parent / "layouts"


class SrResNet(nn.Module):
    """SRResNet with normalisation, as Lornatang/SRGAN-PyTorch names it (model.py)."""

    def __init__(self, channels, blocks, stages):
        super().__init__()

        def block():
            layer = nn.Module()
            layer.rcb = nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.PReLU(),
                nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
            return layer

        def stage():
            layer = nn.Module()
            layer.upsample_block = nn.Sequential(conv(channels, 4 * channels, 3), nn.PixelShuffle(2), nn.PReLU())
            return layer

        self.conv1 = nn.Sequential(conv(3, channels, 9), nn.PReLU())
        self.trunk = nn.ModuleList(block() for _ in range(blocks))
        self.conv2 = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.upsampling = nn.ModuleList(stage() for _ in range(stages))
        self.conv3 = conv(channels, 3, 9)

    def forward(self, x):
        head = y = self.conv1(x)
        for block in self.trunk:
            y = y + block.rcb(y)
        y = self.conv2(y) + head
        for stage in self.upsampling:
            y = stage.upsample_block(y)
        return self.conv3(y)


def number(key: str, like: torch.Tensor) -> torch.Tensor:
    """A tensor by its key; variances and the factors of normalisation lie around 1."""
    if not like.is_floating_point():
        return like
    tensor = torch.from_numpy(hashed.weight(key, tuple(like.shape)))
    around_one = key.endswith("running_var") or (key.replace("weight", "running_var") in NORMS and key.endswith("weight"))
    return tensor * 5 + 1 if around_one else tensor


NORMS = {key for key in SrResNet(8, 2, 2).state_dict() if key.endswith("running_var")}


def shapes(network: nn.Module, *rules) -> dict[str, torch.Tensor]:
    return {key: number(key, value) for key, value in renamed(network.state_dict(), *rules).items()}


def make(name, tensors, run, wrap=lambda tensors: tensors, legacy=False, dtype=torch.float32):
    """Saves a file, and gives what its network makes of the picture."""
    tensors = {key: value.to(dtype) if value.is_floating_point() else value for key, value in tensors.items()}
    HERE.mkdir(exist_ok=True)
    torch.save(wrap(tensors), HERE / f"{name}.pth", _use_new_zipfile_serialization=not legacy)
    picture = torch.from_numpy(hashed.numbers("picture", (1, 3, 6, 8), 0.5)).double() + 0.5
    with torch.no_grad():
        output = run({key: value.double() if value.is_floating_point() else value for key, value in tensors.items()})(picture)[0]
    print(name, (HERE / f"{name}.pth").stat().st_size, tuple(output.shape), float(output.std()))
    return name, output.float()


def under(*keys):
    def wrap(tensors):
        for key in reversed(keys):
            tensors = {key: tensors}
        return tensors

    return wrap


def prefixed(prefix, wrap=lambda tensors: tensors):
    return lambda tensors: wrap({prefix + key: value for key, value in tensors.items()})


def main() -> None:
    torch.set_default_dtype(torch.float64)
    rcan = basicsr("rcan_arch", "RCAN")
    eye = {"sub_mean.weight": torch.eye(3).view(3, 3, 1, 1), "sub_mean.bias": -255 * MEAN.flatten(),
           "add_mean.weight": torch.eye(3).view(3, 3, 1, 1), "add_mean.bias": 255 * MEAN.flatten()}
    official = shapes(
        rcan(3, 3, 8, 2, 2, 4, 2), (r"conv_first", "head.0"), (r"conv_last", "tail.1"),
        (r"conv_after_body", "body.2"), (r"upsample", "tail.0"), (r"body\.(\d)\.conv\.", r"body.\1.body.2."),
        (r"body\.(\d)\.residual_group\.(\d)\.rcab\.([02])", r"body.\1.body.\2.body.\3"),
        (r"body\.(\d)\.residual_group\.(\d)\.rcab\.3\.attention\.1", r"body.\1.body.\2.body.3.conv_du.0"),
        (r"body\.(\d)\.residual_group\.(\d)\.rcab\.3\.attention\.3", r"body.\1.body.\2.body.3.conv_du.2"))
    rrdb = basicsr("rrdbnet_arch", "RRDBNet")
    esrgan = ((r"conv_body", "trunk_conv"), (r"conv_up", "upconv"), (r"conv_hr", "HRconv"),
              (r"body\.(\d)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2"))
    names = list(rrdb(3, 3, 4, 8, 1, 4).state_dict())
    first = esrgan_first(rrdb(3, 3, 4, 8, 1, 4).state_dict(), dict(scale=4, unshuffle=1, blocks=1))
    first = {key: number(key, value) for key, value in first.items()}

    # spandrel reads these layouts, but only at the published growth, at which `golden.py` compares it.
    def run_esrgan(tensors):
        return loaded(rrdb(3, 3, 4, 8, 1, 4), dict(zip(names, tensors.values())))

    msrresnet = basicsr("srresnet_arch", "MSRResNet")
    srvgg = basicsr("srvgg_arch", "SRVGGNetCompact")
    rdn = Rdn(2, 8, 8, 2, 2)
    yjn870 = ((r"UPNet\.2\.", "output."), (r"UPNet\.", "upscale."), (r"SFENet", "sfe"), (r"GFF", "gff"),
              (r"RDBs\.(\d)\.LFF", r"rdbs.\1.lff"), (r"RDBs\.(\d)\.convs\.(\d)\.conv\.0", r"rdbs.\1.layers.\2.conv"))

    def run_rdn(tensors, range=255):
        network = loaded(Rdn(2, 8, 8, 2, 2), dict(zip(rdn.state_dict(), tensors.values())))
        return lambda x: network(range * x) / range

    carn = Carn(4, 4)
    shift = {"sub_mean.shifter.weight": eye["sub_mean.weight"], "sub_mean.shifter.bias": -MEAN.flatten(),
             "add_mean.shifter.weight": eye["add_mean.weight"], "add_mean.shifter.bias": MEAN.flatten()}

    # torchsr's has 64 features, at which `golden.py` compares it: too many for a small file.
    def run_carn(tensors):
        tensors = {key: value for key, value in tensors.items() if key not in shift}
        network = loaded(Carn(4, 4), renamed(tensors, (r"upsample\.up4\.", "upsample.up.")))
        return lambda x: network(x - MEAN) + MEAN

    expected = dict([
        make("carn_x4", shift | shapes(carn, (r"upsample\.up\.", "upsample.up4.")), run_carn),
        make("rcan_official", eye | official, with_spandrel, prefixed("module.")),
        make("rcan_basicsr", shapes(rcan(3, 3, 8, 2, 2, 4, 4)),
             lambda t: loaded(rcan(3, 3, 8, 2, 2, 4, 4), t), under("params")),
        make("rdn_official", shapes(rdn), run_rdn, under("model"), legacy=True),
        make("rdn_yjn870", shapes(rdn, *yjn870),
             lambda tensors: run_rdn(tensors, 1)),
        make("srresnet", shapes(SrResNet(8, 2, 2)), lambda t: loaded(SrResNet(8, 2, 2), t), under("state_dict"), True),
        make("msrresnet", shapes(msrresnet(3, 3, 8, 2, 3)), lambda t: loaded(msrresnet(3, 3, 8, 2, 3), t), under("params")),
        make("rrdb_basicsr_x2", shapes(rrdb(3, 3, 2, 8, 1, 4)), lambda t: loaded(rrdb(3, 3, 2, 8, 1, 4), t),
             under("params_ema"), dtype=torch.float16),
        make("rrdb_esrgan", shapes(rrdb(3, 3, 4, 8, 1, 4), *esrgan), run_esrgan, prefixed("netG."), dtype=torch.bfloat16),
        make("rrdb_first", first, run_esrgan, legacy=True),
        make("srvgg", shapes(srvgg(3, 3, 8, 2, 4)), with_spandrel, under("params")),
    ])
    script = torch.jit.trace(srvgg(3, 3, 8, 2, 4).float().half(), torch.zeros(1, 3, 4, 4).half(), check_trace=False)
    tensors = {key: number(key, value).half() for key, value in script.state_dict().items()}
    script.load_state_dict(tensors)
    script.save(HERE / "srvgg_script.pt")
    picture = torch.from_numpy(hashed.numbers("picture", (1, 3, 6, 8), 0.5)).double() + 0.5
    with torch.no_grad():
        expected["srvgg_script"] = with_spandrel({k: v.double() for k, v in tensors.items()})(picture)[0].float()
    save_file(expected, HERE / "expected.safetensors")
    (HERE / "expected.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
