"""Fits the estimate of whether a picture was made by the paper's degradation, and writes its numbers and golden values.

Pictures of the research data that are there to train on are degraded as the paper has it (positive), and in other ways or not
at all (negative); a logistic regression over nine measures of a picture, their squares and products, tells one from the other.
`crates/pdn-image/src/estimate/fitted.rs` gets the numbers; `estimate/` gets three drawn pictures and what is measured of them.
A third of the pictures is held back, and how many of them are told rightly is printed.

    venv/bin/pip install -r requirements-estimate.txt
    venv/bin/python estimate.py ../../target/release/pdn ../../../shared/data
"""

import io
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from PIL import Image, ImageFilter
from sklearn.linear_model import LogisticRegression

HERE = Path(__file__).parent
FITTED = HERE.parents[1] / "crates" / "pdn-image" / "src" / "estimate" / "fitted.rs"
SIDE = 512
SCALES = (2, 4, 8)
POSITIVE = ("blur-bicubic", "blur-bicubic-float")
NEGATIVE = ("bicubic", "practical", "practical:1", "practical:2")
# At x8 the blur is a sixth of a pixel of the small picture: a network that undoes it does no harm to what was resized without.
LIKE_POSITIVE = {8: ("bicubic", "resized")}


def luma(picture: Image.Image) -> numpy.ndarray:
    """The middle, of SIDE pixels a side at most, begun at a multiple of 8 so that JPEG's blocks stay where they are."""
    rgb = numpy.asarray(picture.convert("RGB"), dtype=numpy.float64)
    top, left = (max(0, (side - SIDE) // 2) // 8 * 8 for side in rgb.shape[:2])
    return rgb[top : top + SIDE, left : left + SIDE] @ numpy.array([0.299, 0.587, 0.114])


def second(y: numpy.ndarray, step: int) -> numpy.ndarray:
    """Second differences along rows, over a distance."""
    return y[:, : -2 * step] - 2 * y[:, step:-step] + y[:, 2 * step :]


DCT = numpy.array(
    [[(8**-0.5 if u == 0 else 0.5) * numpy.cos((2 * i + 1) * u * numpy.pi / 16) for i in range(8)] for u in range(8)]
)
FINE = numpy.add.outer(numpy.arange(8), numpy.arange(8)) >= 7


def fine(y: numpy.ndarray) -> float:
    """The mean size, up to 3, of the fine coefficients of blocks of 8x8: JPEG leaves few where its own blocks are."""
    height, width = (side // 8 * 8 for side in y.shape)
    blocks = y[:height, :width].reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3)
    coefficients = numpy.abs(numpy.einsum("ui,abij,vj->abuv", DCT, blocks, DCT))[:, :, FINE]
    return numpy.log(0.1 + numpy.minimum(coefficients, 3).mean())


def jumps(y: numpy.ndarray) -> float:
    """How much more columns jump at one of eight places than elsewhere: the edges of JPEG's blocks, wherever they are."""
    mean = numpy.minimum(numpy.abs(second(y, 1)), 20).mean(0)
    pairs = [mean[k::8].mean() + mean[(k + 1) % 8 :: 8].mean() for k in range(8)]
    return max(pairs) / (numpy.mean(pairs) + 0.05)


def measures(y: numpy.ndarray) -> list[float]:
    along, down = second(y, 1), second(y.T, 1)
    energy = [(numpy.mean(second(y, s) ** 2) + numpy.mean(second(y.T, s) ** 2)) / 2 + 0.05 for s in (1, 2, 4)]
    corner = numpy.mean(second(along.T, 1) ** 2) + 0.05
    both = numpy.abs(numpy.concatenate([along.ravel(), down.ravel()]))
    height, width = (side // 4 * 4 for side in along.shape)
    cells = numpy.abs(along[:height, :width]).reshape(height // 4, 4, width // 4, 4).mean((1, 3))
    flattest = numpy.sort(cells.ravel())[: max(1, cells.size // 10)]
    return [
        numpy.log(energy[0] / energy[1]),
        numpy.log(energy[1] / energy[2]),
        numpy.log(corner / energy[0]),
        numpy.log(0.25 + flattest.mean()),
        numpy.mean(both < 0.7505),
        numpy.log(1e-9 + numpy.mean(both**4) / (1e-9 + numpy.mean(both**2) ** 2)),
        numpy.log((jumps(y) + jumps(y.T)) / 2 + 1e-9),
        fine(y[4:, 4:]) - fine(y),
        numpy.log(energy[0]),
    ]


def terms(scaled: numpy.ndarray) -> numpy.ndarray:
    """The measures, and each multiplied by itself and those after it."""
    count = scaled.shape[1]
    products = [scaled[:, i] * scaled[:, j] for i in range(count) for j in range(i, count)]
    return numpy.concatenate([scaled, numpy.stack(products, axis=1)], axis=1)


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def noisy(picture: Image.Image) -> Image.Image:
    levels = numpy.asarray(picture, dtype=numpy.float64)
    levels = levels + numpy.random.randn(*levels.shape[:2], 1) * random.uniform(2, 10)
    return Image.fromarray(numpy.clip(levels + 0.5, 0, 255).astype(numpy.uint8))


def examples(pdn: str, sources: dict[str, list[Path]], scale: int):
    """Measures of pictures, whether each was made so, and how it was made."""
    found = []

    def add(picture: Image.Image, kind: str):
        if min(picture.size) >= 24:
            found.append((measures(luma(picture)), kind in POSITIVE, kind))

    with tempfile.TemporaryDirectory() as folder:
        for name, pictures in sources.items():
            links = Path(folder) / name
            links.mkdir()
            for picture in pictures:
                (links / picture.name).symlink_to(picture.resolve())
            for kind in POSITIVE + NEGATIVE:
                made = Path(folder) / f"{name}-{kind}"
                command = [pdn, "degrade", links, "-o", made, "--scale", str(scale), "--degradation", kind]
                subprocess.run(command, check=True, capture_output=True)
                for file in sorted(made.glob("*.png")):
                    picture = Image.open(file).convert("RGB")
                    add(picture, kind)
                    if kind == POSITIVE[0]:
                        add(jpeg(picture, random.randint(60, 95)), "blurred, then JPEG")
                        add(noisy(picture), "blurred, then noise")
    for picture in (Image.open(file).convert("RGB") for files in sources.values() for file in files):
        add(picture, "as it came")
        sides = [max(24, side // scale) for side in picture.size]
        filters = [Image.LANCZOS, Image.BOX, Image.HAMMING, Image.BICUBIC]
        small = picture.resize(sides, random.choice(filters))
        add(small, "resized")
        add(small.filter(ImageFilter.UnsharpMask(1, random.randint(50, 150), 0)), "sharpened")
        soft = picture.filter(ImageFilter.GaussianBlur(random.uniform(1, 3)))
        add(soft, "soft")
        add(jpeg(soft, random.randint(80, 95)), "soft JPEG")
    measured, positive, kinds = zip(*found)
    keep = ~numpy.isin(kinds, LIKE_POSITIVE.get(scale, ()))
    return numpy.array(measured)[keep], numpy.array(positive)[keep], numpy.array(kinds)[keep]


class Fit:
    def __init__(self, measured: numpy.ndarray, positive: numpy.ndarray):
        # Beyond what was seen, products would say anything.
        self.least, self.most = numpy.percentile(measured, [0.5, 99.5], axis=0)
        inside = numpy.clip(measured, self.least, self.most)
        self.mean, self.deviation = inside.mean(0), inside.std(0)
        weight = numpy.where(positive, 0.5 / positive.mean(), 0.5 / (1 - positive.mean()))
        self.model = LogisticRegression(max_iter=5000).fit(self.terms(measured), positive, sample_weight=weight)

    def terms(self, measured: numpy.ndarray) -> numpy.ndarray:
        return terms((numpy.clip(measured, self.least, self.most) - self.mean) / self.deviation)

    def probability(self, measured: numpy.ndarray) -> numpy.ndarray:
        return self.model.predict_proba(self.terms(measured))[:, 1]


def rust(fits: dict[int, Fit]) -> str:
    def array(values) -> str:
        return "[" + ", ".join(f"{value:.6}" if "." in f"{value:.6}" or "e" in f"{value:.6}" else f"{value:.1f}" for value in values) + "]"

    lines = ["//! Written by `tests/reference/estimate.py`.", "", "use super::regression::Fit;", ""]
    lines += ["/// By the scale.", f"pub(super) const FITS: [(usize, Fit); {len(fits)}] = ["]
    for scale, fit in fits.items():
        lines += [f"({scale}, Fit {{"]
        for name in ("least", "most", "mean", "deviation"):
            lines += [f"{name}: {array(getattr(fit, name))},"]
        lines += [f"weights: {array(fit.model.coef_[0])},", f"bias: {fit.model.intercept_[0]:.6}", "}),"]
    return "\n".join([*lines, "];", ""])


def golden(fits: dict[int, Fit]):
    """Drawn pictures: shapes, as they are, blurred, and as a JPEG."""
    y, x = numpy.mgrid[:96, :120]
    rings = 128 + 90 * numpy.sin(numpy.hypot(x - 50, y - 40) ** 1.5 / 9)
    planes = [numpy.where((x // 17 + y // 11) % 2, rings, 40 + x), rings, 220 - y - 0.5 * rings]
    drawn = Image.fromarray(numpy.stack(planes, axis=-1).clip(0, 255).astype(numpy.uint8))
    pictures = {"drawn": drawn, "blurred": drawn.filter(ImageFilter.GaussianBlur(0.8)), "jpeg": jpeg(drawn, 85)}
    folder, expected = HERE / "estimate", {}
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png", optimize=True)
        measured = numpy.array([measures(luma(picture))])
        by_scale = {scale: fit.probability(measured)[0] for scale, fit in fits.items()}
        expected[name] = {"measures": measured[0].tolist(), "probability": by_scale}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def main(pdn: str, data: str):
    random.seed(1)
    numpy.random.seed(1)
    train = Path(data) / "train"
    sources = {
        "bsds500": sorted((train / "bsds500").glob("*.jpg"))[::2],
        "coco": sorted((train / "coco" / "images").glob("*.jpg")),
        "flickr8k": sorted((train / "flickr8k" / "images").glob("*.webp"))[::30],
    }
    fits = {}
    for scale in SCALES:
        measured, positive, kinds = examples(pdn, sources, scale)
        order = numpy.random.permutation(len(positive))
        learned, held_back = order[len(order) // 3 :], order[: len(order) // 3]
        told = Fit(measured[learned], positive[learned]).probability(measured[held_back]) > 0.5
        right = told == positive[held_back]
        for kind in sorted(set(kinds)):
            of = kinds[held_back] == kind
            print(f"x{scale}  {kind:20} {right[of].mean():6.1%} of {of.sum()} right")
        fits[scale] = Fit(measured, positive)
    FITTED.parent.mkdir(exist_ok=True)
    FITTED.write_text(rust(fits))
    subprocess.run(["rustfmt", "--edition", "2024", FITTED], check=True)
    golden(fits)


if __name__ == "__main__":
    main(*sys.argv[1:])
