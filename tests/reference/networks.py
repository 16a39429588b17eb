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


ARCHITECTURES = {"edsr": Edsr, "pdn": Pdn, "imdn": Imdn}


def our_name(name: str) -> str:
    """PyTorch modules cannot be called `modules`, and EDSR's DCMs sit beside the block's convolutions already."""
    return name.replace(".dcms.", ".modules.")
