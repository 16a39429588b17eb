"""The networks in PyTorch, written from their papers and official files, independent of the Rust code.

Parameters have the names that `pdn` uses; where a project's own names differ, the zoo's files give the map.
Everything runs on raw numbers: the conversion from and to pictures is not part of a network.
"""

import torch
import torch.nn.functional as F
from torch import nn


def conv(i: int, o: int, k: int) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, padding=k // 2)


class Dcm(nn.Module):
    """The paper's equations 2 to 4, as written: the d-channel map is made."""

    def __init__(self, c, dim=512, kernels=4, kernel=3, temperature=7.0, attention=True, dynamic=True, residual=False):
        super().__init__()
        self.k, self.tau, self.residual = kernel, temperature, residual
        self.project = conv(c, dim, 1)
        if attention:
            self.zeta = nn.Parameter(torch.full((1,), 50.0))
        if dynamic:
            hidden = max(dim // 4, 1)
            self.mlp = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, kernels, 1))
            self.bank = nn.Module()
            self.bank.weight = nn.Parameter(torch.empty(kernels, c, dim, kernel, kernel))
            self.bank.bias = nn.Parameter(torch.empty(kernels, c))
        else:
            self.kernel = conv(dim, c, kernel)

    def forward(self, x, p):
        y = self.project(x)
        self.mask = None
        if hasattr(self, "zeta"):
            cosine = torch.einsum("bdhw,d->bhw", y, p) / torch.sqrt((y * y).sum(1) + 1e-12)
            self.mask = torch.sigmoid(self.zeta * cosine)
            y = y * self.mask[:, None]
        if hasattr(self, "mlp"):
            f = (p * p.numel() ** 0.5).reshape(1, -1, 1, 1)
            pi = torch.softmax(self.mlp(f).flatten() / self.tau, 0)
            weight = torch.einsum("n,noikl->oikl", pi, self.bank.weight)
            out = F.conv2d(y, weight, pi @ self.bank.bias, padding=self.k // 2)
        else:
            out = self.kernel(y)
        return out + x if self.residual else out


class Block(nn.Module):
    def __init__(self, c, scale=1.0, attention=None):
        super().__init__()
        self.conv1, self.conv2, self.scale = conv(c, c, 3), conv(c, c, 3), scale
        if attention:
            width = max(c // attention, 1)
            self.attention = nn.Sequential(conv(c, width, 1), nn.ReLU(), conv(width, c, 1), nn.Sigmoid())

    def forward(self, x):
        y = self.conv2(F.relu(self.conv1(x)))
        if hasattr(self, "attention"):
            y = y * self.attention(y.mean((2, 3), keepdim=True))
        return x + y * self.scale


def upsampler(c, scale):
    factors = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
    return nn.ModuleList(conv(c, c * r * r, 3) for r in factors), factors


class Trunk(nn.Module):
    """What EDSR and PDN share: head, body, skip, upsampler, last convolution."""

    def __init__(self, scale, features):
        super().__init__()
        self.conv_first = conv(3, features, 3)
        self.conv_after_body = conv(features, features, 3)
        self.upsample, self.factors = upsampler(features, scale)
        self.conv_last = conv(features, 3, 3)

    def forward(self, x, p=None):
        head = self.conv_first(x)
        x = self.conv_after_body(self.trunk(head, p)) + head
        for up, r in zip(self.upsample, self.factors):
            x = F.pixel_shuffle(up(x), r)
        return self.conv_last(x)


class Edsr(Trunk):
    def __init__(self, scale, features, blocks, residual_scale, dcm=None, mean=None):
        super().__init__(scale, features)
        self.body = nn.ModuleList(Block(features, residual_scale) for _ in range(blocks))
        for block in self.body if dcm is not None else []:
            block.dcm = Dcm(features, **dcm)

    def trunk(self, x, p):
        for block in self.body:
            x = block(x)
            x = block.dcm(x, p) if hasattr(block, "dcm") else x
        return x


class Group(nn.Module):
    def __init__(self, c, blocks, modules, dcm, attention):
        super().__init__()
        self.blocks = nn.ModuleList(Block(c, attention=attention) for _ in range(blocks))
        self.modules_after = [-(-(m + 1) * blocks // modules) - 1 for m in range(modules)]
        self.dcms = nn.ModuleList(Dcm(c, **dcm) for _ in range(modules))
        self.conv = conv(c, c, 3)

    def forward(self, x, p):
        y = x
        for i, block in enumerate(self.blocks):
            y = block(y)
            if i in self.modules_after:
                y = self.dcms[self.modules_after.index(i)](y, p)
        return x + self.conv(y)


class Pdn(Trunk):
    def __init__(self, scale, features, groups, blocks, modules, dcm, channel_attention=None):
        super().__init__(scale, features)
        self.groups = nn.ModuleList(Group(features, blocks, modules, dcm, channel_attention) for _ in range(groups))

    def trunk(self, x, p):
        for group in self.groups:
            x = group(x, p)
        return x


class Compact(nn.Module):
    """PDN-compact: a plain chain with DCMs; the last convolution reads the picture, too."""

    def __init__(self, scale, features, convs, modules, dcm):
        super().__init__()
        self.shuffle = nn.PixelShuffle(scale)
        self.conv_first = conv(3, features, 3)
        self.body = nn.ModuleList(conv(features, features, 3) for _ in range(convs))
        self.dcms = nn.ModuleList(Dcm(features, **dcm) for _ in range(modules))
        self.conv_last = conv(features + 3, 3 * scale * scale, 3)

    def forward(self, x, p):
        y, done = F.leaky_relu(self.conv_first(x), 0.1), 0
        for i, layer in enumerate(self.body):
            y = F.leaky_relu(layer(y), 0.1)
            if (i + 1) * len(self.dcms) // len(self.body) > done:
                y, done = self.dcms[done](y, p), done + 1
        return self.shuffle(self.conv_last(torch.cat([y, x], 1)))


class Imdb(nn.Module):
    """IMDN's block: Zheng222/IMDN, model/block.py."""

    def __init__(self, c):
        super().__init__()
        self.kept = c // 4
        rest = c - self.kept
        self.c1, self.c2, self.c3 = conv(c, c, 3), conv(rest, c, 3), conv(rest, c, 3)
        self.c4, self.c5 = conv(rest, self.kept, 3), conv(c, c, 1)
        self.cca = nn.Module()
        width = max(c // 16, 1)
        self.cca.conv_du = nn.Sequential(conv(c, width, 1), nn.ReLU(), conv(width, c, 1), nn.Sigmoid())

    def forward(self, x):
        kept, y = [], x
        for layer in (self.c1, self.c2, self.c3):
            y = F.leaky_relu(layer(y), 0.05)
            kept.append(y[:, : self.kept])
            y = y[:, self.kept :]
        y = torch.cat([*kept, self.c4(y)], 1)
        mean = y.mean((2, 3), keepdim=True)
        contrast = ((y - mean) ** 2).mean((2, 3), keepdim=True).sqrt() + mean
        return self.c5(y * self.cca.conv_du(contrast)) + x


class Imdn(nn.Module):
    def __init__(self, scale, features, blocks):
        super().__init__()
        self.scale, self.count = scale, blocks
        self.fea_conv = conv(3, features, 3)
        for i in range(1, blocks + 1):
            self.add_module(f"IMDB{i}", Imdb(features))
        self.c = nn.Sequential(conv(features * blocks, features, 1), nn.LeakyReLU(0.05))
        self.LR_conv = conv(features, features, 3)
        self.upsampler = nn.Sequential(conv(features, 3 * scale * scale, 3), nn.PixelShuffle(scale))

    def forward(self, x, p=None):
        head = y = self.fea_conv(x)
        outputs = []
        for i in range(1, self.count + 1):
            y = getattr(self, f"IMDB{i}")(y)
            outputs.append(y)
        return self.upsampler(self.LR_conv(self.c(torch.cat(outputs, 1))) + head)


class Cascade(nn.Module):
    """CARN's cascade of three layers: nmhkahn/CARN-pytorch, model/carn.py."""

    def __init__(self, c, layer):
        super().__init__()
        for i in (1, 2, 3):
            self.add_module(f"b{i}", layer())
            self.add_module(f"c{i}", nn.Module())
            self.get_submodule(f"c{i}").body = nn.Sequential(conv((i + 1) * c, c, 1), nn.ReLU())

    def forward(self, x):
        maps = x
        for b, c in ((self.b1, self.c1), (self.b2, self.c2), (self.b3, self.c3)):
            maps = torch.cat([maps, b(x)], 1)
            x = c.body(maps)
        return x


class CarnResidual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.body = nn.Sequential(conv(c, c, 3), nn.ReLU(), conv(c, c, 3))

    def forward(self, x):
        return F.relu(self.body(x) + x)


class Carn(Cascade):
    def __init__(self, scale, features, mean=None):
        super().__init__(features, lambda: Cascade(features, lambda: CarnResidual(features)))
        self.entry, self.exit = conv(3, features, 3), conv(features, 3, 3)
        stages = [[up, nn.ReLU(), nn.PixelShuffle(r)] for up, r in zip(*upsampler(features, scale))]
        self.upsample = nn.Module()
        self.upsample.up = nn.Module()
        self.upsample.up.body = nn.Sequential(*sum(stages, []))

    def forward(self, x, p=None):
        return self.exit(self.upsample.up.body(super().forward(self.entry(x))))


class Rcan(Trunk):
    def __init__(self, scale, features, groups, blocks, squeezed, mean=None, plus=None):
        super().__init__(scale, features)
        modules, dcm = (plus["modules"], plus["dcm"]) if plus else (0, {})
        self.body = nn.ModuleList(Group(features, blocks, modules, dcm, features // squeezed) for _ in range(groups))

    def trunk(self, x, p):
        for group in self.body:
            x = group(x, p)
        return x


class DenseBlock(nn.Module):
    """RDN's block: in EDSR-PyTorch's src/model/rdn.py."""

    def __init__(self, features, growth, layers):
        super().__init__()
        self.convs = nn.ModuleList()
        for c in range(layers):
            layer = nn.Module()
            layer.conv = nn.Sequential(conv(features + c * growth, growth, 3), nn.ReLU())
            self.convs.append(layer)
        self.LFF = conv(features + layers * growth, features, 1)

    def forward(self, x):
        maps = x
        for layer in self.convs:
            maps = torch.cat([maps, layer.conv(maps)], 1)
        return x + self.LFF(maps)


class Rdn(nn.Module):
    def __init__(self, scale, features, growth, blocks, layers, range=255.0, dcm=None):
        super().__init__()
        self.SFENet1, self.SFENet2 = conv(3, features, 3), conv(features, features, 3)
        self.RDBs = nn.ModuleList(DenseBlock(features, growth, layers) for _ in [None] * blocks)
        for block in self.RDBs if dcm is not None else []:
            block.dcm = Dcm(features, **dcm)
        self.GFF = nn.Sequential(conv(blocks * features, features, 1), conv(features, features, 3))
        stages, channels = [], features
        for r in [3] if scale == 3 else [2] * (scale.bit_length() - 1):
            stages += [conv(channels, growth * r * r, 3), nn.PixelShuffle(r)]
            channels = growth
        self.UPNet = nn.Sequential(*stages, conv(channels, 3, 3))

    def forward(self, x, p=None):
        head = self.SFENet1(x)
        x, outputs = self.SFENet2(head), []
        for block in self.RDBs:
            x = block(x)
            x = block.dcm(x, p) if hasattr(block, "dcm") else x
            outputs.append(x)
        return self.UPNet(self.GFF(torch.cat(outputs, 1)) + head)


class RrdbDenseBlock(nn.Module):
    """ESRGAN's dense block: BasicSR's rrdbnet_arch.py."""

    def __init__(self, features, growth):
        super().__init__()
        for i in range(5):
            self.add_module(f"conv{i + 1}", conv(features + i * growth, growth if i < 4 else features, 3))

    def forward(self, x):
        maps = x
        for i in range(1, 5):
            maps = torch.cat([maps, F.leaky_relu(getattr(self, f"conv{i}")(maps), 0.2)], 1)
        return self.conv5(maps) * 0.2 + x


class RrdbBlock(nn.Module):
    """ESRGAN's residual in residual dense block."""

    def __init__(self, features, growth):
        super().__init__()
        for r in (1, 2, 3):
            self.add_module(f"rdb{r}", RrdbDenseBlock(features, growth))

    def forward(self, x):
        return self.rdb3(self.rdb2(self.rdb1(x))) * 0.2 + x


class Rrdb(nn.Module):
    def __init__(self, scale, features, growth, blocks, unshuffle=1, dcm=None):
        super().__init__()
        self.unshuffle = unshuffle
        self.conv_first = conv(3 * unshuffle**2, features, 3)
        self.body = nn.ModuleList(RrdbBlock(features, growth) for _ in range(blocks))
        for block in self.body if dcm is not None else []:
            block.dcm = Dcm(features, **dcm)
        self.conv_body = conv(features, features, 3)
        factor = scale * unshuffle
        self.factors = [3] if factor == 3 else [2] * (factor.bit_length() - 1)
        for s in range(len(self.factors)):
            self.add_module(f"conv_up{s + 1}", conv(features, features, 3))
        self.conv_hr, self.conv_last = conv(features, features, 3), conv(features, 3, 3)

    def forward(self, x, p=None):
        head = x = self.conv_first(F.pixel_unshuffle(x, self.unshuffle))
        for block in self.body:
            x = block(x)
            x = block.dcm(x, p) if hasattr(block, "dcm") else x
        x = self.conv_body(x) + head
        for s, r in enumerate(self.factors):
            x = F.interpolate(x, scale_factor=r, mode="nearest")
            x = F.leaky_relu(getattr(self, f"conv_up{s + 1}")(x), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))


class SpsrBranch(nn.Module):
    """What both branches of SPSR have around their blocks."""

    def __init__(self, scale, features):
        super().__init__()
        self.conv_first, self.conv_body = conv(3, features, 3), conv(features, features, 3)
        self.factors = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
        for s in range(len(self.factors)):
            self.add_module(f"conv_up{s + 1}", conv(features, features, 3))
        self.conv_hr, self.conv_features = conv(features, features, 3), conv(features, features, 3)

    def enlarge(self, x):
        for s, r in enumerate(self.factors):
            x = F.interpolate(x, scale_factor=r, mode="nearest")
            x = F.leaky_relu(getattr(self, f"conv_up{s + 1}")(x), 0.2)
        return self.conv_features(F.leaky_relu(self.conv_hr(x), 0.2))


class Spsr(SpsrBranch):
    """SPSRNet in code/models/modules/architecture.py of Maclory/SPSR."""

    def __init__(self, scale, features, growth, blocks, interval=5, dcm=None):
        super().__init__(scale, features)
        self.interval, self.taps = interval, {}
        self.body = nn.ModuleList(RrdbBlock(features, growth) for _ in range(blocks))
        for block in self.body if dcm is not None else []:
            block.dcm = Dcm(features, **dcm)
        self.gradient, self.fusion = SpsrBranch(scale, features), nn.Module()
        self.gradient.body = nn.ModuleList(RrdbBlock(2 * features, growth) for _ in range(4))
        self.gradient.merge = nn.ModuleList(conv(2 * features, features, 3) for _ in range(4))
        self.gradient.conv_last = conv(features, 3, 1)
        self.fusion.body, self.fusion.merge = RrdbBlock(2 * features, growth), conv(2 * features, features, 3)
        self.fusion.conv_hr, self.fusion.conv_last = conv(features, features, 3), conv(features, 3, 3)

    def forward(self, x, p=None):
        across = F.pad(x, (1, 1, 0, 0))
        down = F.pad(x, (0, 0, 1, 1))
        steps = (down[:, :, 2:] - down[:, :, :-2]) ** 2 + (across[..., 2:] - across[..., :-2]) ** 2
        gradient = first = self.gradient.conv_first(torch.sqrt(steps + 1e-6))
        x = head = self.conv_first(x)
        for i, block in enumerate(self.body):
            x = block(x)
            x = block.dcm(x, p) if hasattr(block, "dcm") else x
            merge, rest = divmod(i + 1, self.interval)
            if rest == 0 and merge <= 4:
                gradient = self.gradient.body[merge - 1](torch.cat([gradient, x], 1))
                gradient = self.gradient.merge[merge - 1](gradient)
        x = self.enlarge(self.conv_body(x) + head)
        gradient = self.gradient.enlarge(self.gradient.conv_body(gradient) + first)
        self.taps["gradient"] = self.gradient.conv_last(gradient)
        x = self.fusion.merge(self.fusion.body(torch.cat([gradient, x], 1)))
        return self.fusion.conv_last(F.leaky_relu(self.fusion.conv_hr(x), 0.2))


class SrResNet(nn.Module):
    """SRResNet with its normalisation folded into the convolutions, which `pickles.py` has as published."""

    def __init__(self, scale, features, blocks, dcm=None):
        super().__init__()
        self.conv_first, self.act_first = conv(3, features, 9), nn.PReLU(features)
        self.body = nn.ModuleList(nn.Module() for _ in range(blocks))
        for block in self.body:
            block.conv1, block.act, block.conv2 = conv(features, features, 3), nn.PReLU(features), conv(features, features, 3)
            if dcm is not None:
                block.dcm = Dcm(features, **dcm)
        self.conv_after_body = conv(features, features, 3)
        stages, self.factors = upsampler(features, scale)
        self.upsample = nn.ModuleList(nn.Module() for _ in stages)
        for stage, layer in zip(self.upsample, stages):
            stage.conv, stage.act = layer, nn.PReLU(features)
        self.conv_last = conv(features, 3, 9)

    def forward(self, x, p=None):
        head = x = self.act_first(self.conv_first(x))
        for block in self.body:
            x = x + block.conv2(block.act(block.conv1(x)))
            x = block.dcm(x, p) if hasattr(block, "dcm") else x
        x = self.conv_after_body(x) + head
        for stage, r in zip(self.upsample, self.factors):
            x = stage.act(F.pixel_shuffle(stage.conv(x), r))
        return self.conv_last(x)


class MsrResNet(nn.Module):
    """BasicSR's srresnet_arch.py."""

    def __init__(self, scale, features, blocks, dcm=None):
        super().__init__()
        self.scale = scale
        self.conv_first = conv(3, features, 3)
        self.body = nn.ModuleList(Block(features) for _ in range(blocks))
        for block in self.body if dcm is not None else []:
            block.dcm = Dcm(features, **dcm)
        stages, self.factors = upsampler(features, scale)
        for s, layer in enumerate(stages):
            self.add_module(f"upconv{s + 1}", layer)
        self.conv_hr, self.conv_last = conv(features, features, 3), conv(features, 3, 3)

    def forward(self, x, p=None):
        base = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        x = F.leaky_relu(self.conv_first(x), 0.1)
        for block in self.body:
            x = block(x)
            x = block.dcm(x, p) if hasattr(block, "dcm") else x
        for s, r in enumerate(self.factors):
            x = F.leaky_relu(F.pixel_shuffle(getattr(self, f"upconv{s + 1}")(x), r), 0.1)
        return self.conv_last(F.leaky_relu(self.conv_hr(x), 0.1)) + base


class Srvgg(nn.Module):
    """BasicSR's srvgg_arch.py."""

    def __init__(self, scale, features, convs):
        super().__init__()
        self.scale = scale
        layers = [conv(3, features, 3), nn.PReLU(features)]
        for _ in range(convs):
            layers += [conv(features, features, 3), nn.PReLU(features)]
        self.body = nn.Sequential(*layers, conv(features, 3 * scale * scale, 3))

    def forward(self, x, p=None):
        base = F.interpolate(x, scale_factor=self.scale, mode="nearest")
        return F.pixel_shuffle(self.body(x), self.scale) + base


ARCHITECTURES = {
    "edsr": Edsr,
    "pdn": Pdn,
    "pdn-compact": Compact,
    "imdn": Imdn,
    "carn": Carn,
    "rcan": Rcan,
    "rdn": Rdn,
    "rrdb": Rrdb,
    "spsr": Spsr,
    "srresnet": SrResNet,
    "msrresnet": MsrResNet,
    "srvgg": Srvgg,
}


def our_name(name: str) -> str:
    """PyTorch modules cannot be called `modules`, and EDSR's DCMs sit beside the block's convolutions already."""
    return f".{name}".replace(".dcms.", ".modules.").removeprefix(".")
