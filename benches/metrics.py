"""Times NIQE by BasicSR and MS-SSIM by pytorch-msssim on a picture, as the example `speed` of pdn-metrics times ours.

    pip install -r ../tests/reference/requirements-metrics.txt (and BasicSR, as written there)
    python metrics.py picture.png niqe_pris_params.npz
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from pytorch_msssim import ms_ssim

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "reference"))
from metrics import basicsr_niqe, luma  # noqa: E402

RUNS = 20


def fastest(name, run):
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        score = run()
        times.append(time.perf_counter() - start)
    print(f"{name:<8} {float(np.squeeze(score)):.4f}  {min(times) * 1e3:.1f} ms")


def main(picture, parameters):
    rgb = cv2.imread(picture)[:, :, ::-1]
    blurred = cv2.GaussianBlur(rgb, (5, 5), 1.0)
    pristine = np.load(parameters)
    pristine = [pristine[name] for name in ["mu_pris_param", "cov_pris_param", "gaussian_window"]]
    niqe = basicsr_niqe().niqe

    def similar():
        pair = [torch.from_numpy(luma(p).astype(np.float32))[None, None] for p in (blurred, rgb)]
        return ms_ssim(*pair, data_range=255)

    fastest("niqe", lambda: niqe(luma(blurred).round().astype(np.float32), *pristine))
    fastest("ms-ssim", similar)


main(*sys.argv[1:])
