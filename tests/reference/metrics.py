"""Writes scores of drawn pictures by the programs that others use, for pdn-metrics to compare with.

    python metrics.py niqe_pris_params.npz metrics/scores.json

NIQE is BasicSR's (metrics/niqe.py), in its own grey and, as the authors' program has it, in MATLAB's rgb2gray. It runs in
float64 here, where BasicSR has float32. MS-SSIM is pytorch-msssim's. All pictures have noise: where pixels are exactly the mean
of their surroundings, NIQE measures what is rounded.
"""

import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import torch
from pytorch_msssim import ms_ssim


def basicsr_niqe():
    """Imports BasicSR's NIQE without the rest of it, which needs more."""
    root = Path(importlib.util.find_spec("basicsr").origin).parent
    for package in ["basicsr", "basicsr.metrics", "basicsr.utils"]:
        module = types.ModuleType(package)
        module.__path__ = [str(root.joinpath(*package.split(".")[1:]))]
        sys.modules[package] = module
    sys.modules["basicsr.utils"].bgr2ycbcr = importlib.import_module("basicsr.utils.color_util").bgr2ycbcr
    return importlib.import_module("basicsr.metrics.niqe")


def drawn(width, height, noise):
    """A picture of edges, waves and noise, in whole numbers, so that it is the same everywhere."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    at = (y * width + x) * 3 + c
    random = (at * 7919 + (at * at) % 104729 * 31) % 1009
    level = 40 + (x * x // 97 + y * 3 + 20 * c) % 120 + (x * y // 61) % 60 + random * noise // 1009
    return np.minimum(level, 255).astype(np.uint8)


def luma(rgb):
    return 16 + (rgb.astype(np.float64) @ [65.481, 128.553, 24.966]) / 255


def grey(rgb):
    return rgb.astype(np.float64) @ [0.298936021293775, 0.587043074451121, 0.114020904255103]


def main(parameters, out):
    torch.set_default_dtype(torch.float64)
    torch.FloatTensor = torch.DoubleTensor  # what BasicSR's imresize puts its result into
    module = basicsr_niqe()
    pristine = np.load(parameters)
    pristine = [pristine[name] for name in ["mu_pris_param", "cov_pris_param", "gaussian_window"]]

    def niqe(plane):
        return float(np.squeeze(module.niqe(plane.round(), *pristine)))

    cases = []
    for width, height, noise in [(208, 304, 3), (208, 304, 20), (208, 304, 200), (303, 199, 60), (500, 400, 5)]:
        rgb = drawn(width, height, noise)
        case = {"width": width, "height": height, "noise": noise, "niqe": niqe(luma(rgb)), "niqe_authors": niqe(grey(rgb))}
        if (width, height) == (208, 304):
            pair = [torch.from_numpy(luma(drawn(width, height, n)))[None, None] for n in (noise, 0)]
            case["ms_ssim"] = ms_ssim(*pair, data_range=255).item()
        cases.append(case)
    Path(out).write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
