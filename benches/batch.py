"""Times a folder of pictures here and in what people would run, side by side on the same machine, network and pictures.

    cargo build --release
    python -m venv venv && venv/bin/pip install -r ../tests/reference/requirements.txt -r requirements.txt
    venv/bin/python batch.py --checkpoint IMDN_x4.pth --pictures DIR [--count 40] [--side 256] [--threads 2] [--rounds 3]
                             [--format png] [--only pdn torch]

The pictures of DIR are cut to SIDE x SIDE, COUNT of them (again from the first where there are less), and written as PNG. Each
line reads them, enlarges them by the same weights and writes them, in a process of its own whose whole time counts, its start
and the reading of the model included; in rounds one after the other. Pictures per minute: the median over the rounds, the least
and the most.

`pdn` is `pdn upscale` as it is, and with one picture at once. `torch` is the loop that a user would write: a picture after the
other by Pillow, a batch of one, channels last. `ncnn` is what realesrgan-ncnn-vulkan does, on the CPU: threads that load, enlarge
and save (`-j LOAD:PROC:SAVE`) and hand pictures on by queues; the threads are divided among those that enlarge. It reads what
pnnx makes of the network in PyTorch. The largest difference from PyTorch is in levels of 8 bits.
"""

import argparse
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "reference"))

PDN = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")) / "release/pdn"
SCALE = 4


def network(checkpoint: str):
    """IMDN in PyTorch, with the checkpoint's weights."""
    import torch
    from networks import Imdn

    built = Imdn(SCALE, 64, 6)
    # Saved from data-parallel training.
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)
    built.load_state_dict({key.removeprefix("module."): value for key, value in weights.items()})
    return built.eval()


def cut(folder: Path, a) -> None:
    """Writes the pictures that all are given."""
    from PIL import Image

    sources = sorted(p for p in Path(a.pictures).iterdir() if p.suffix.lower() in (".bmp", ".jpg", ".jpeg", ".png", ".tif"))
    if not sources:
        sys.exit(f"{a.pictures} holds no pictures")
    for i in range(a.count):
        with Image.open(sources[i % len(sources)]) as picture:
            picture = picture.convert("RGB")
            # The shorter side may be less than is cut.
            factor = max(1.0, a.side / min(picture.size))
            picture = picture.resize([max(a.side, round(s * factor)) for s in picture.size], Image.Resampling.BICUBIC)
            left, top = ((s - a.side) // 2 for s in picture.size)
            picture.crop((left, top, left + a.side, top + a.side)).save(folder / f"{i:04}.png")


def to_ncnn(checkpoint: str, side: int, folder: Path) -> None:
    """The network as ncnn's files."""
    import pnnx
    import torch

    pnnx.export(network(checkpoint), str(folder / "network.pt"), torch.rand(1, 3, side, side), fp16=False)


def load(path: Path):
    import numpy as np
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float32).transpose(2, 0, 1) / 255


def save(path: Path, enlarged) -> None:
    from PIL import Image

    levels = (enlarged.clip(0, 1) * 255 + 0.5).astype("u1").transpose(1, 2, 0)
    Image.fromarray(levels).save(path)


def with_torch(a) -> None:
    import torch

    torch.set_num_threads(a.threads)
    built = network(a.checkpoint).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for path in sorted(Path(a.inputs).iterdir()):
            x = torch.from_numpy(load(path))[None].to(memory_format=torch.channels_last)
            save(Path(a.outputs) / f"{path.stem}.{a.format}", built(x)[0].contiguous().numpy())


def with_ncnn(a) -> None:
    import ncnn
    import numpy as np

    loads, procs, saves = (int(n) for n in a.jobs.split(":"))
    net = ncnn.Net()
    net.opt.num_threads = max(1, a.threads // procs)
    for half in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, half, False)
    net.load_param(f"{a.ncnn}/network.ncnn.param")
    net.load_model(f"{a.ncnn}/network.ncnn.bin")
    paths, loaded, enlarged = queue.Queue(), queue.Queue(8), queue.Queue(8)
    for path in sorted(Path(a.inputs).iterdir()):
        paths.put(path)

    def read():
        while (path := paths.get()) is not None:
            loaded.put((path, load(path)))

    def run():
        while (item := loaded.get()) is not None:
            path, picture = item
            extractor = net.create_extractor()
            # ncnn's map is a view, which keeps nothing alive.
            pixels = np.ascontiguousarray(picture)
            extractor.input("in0", ncnn.Mat(pixels))
            _, out = extractor.extract("out0")
            enlarged.put((path, np.array(out)))

    def write():
        while (item := enlarged.get()) is not None:
            path, picture = item
            save(Path(a.outputs) / f"{path.stem}.{a.format}", picture)

    stages = [(paths, read, loads), (loaded, run, procs), (enlarged, write, saves)]
    threads = [[threading.Thread(target=work) for _ in range(count)] for _, work, count in stages]
    for thread in sum(threads, []):
        thread.start()
    # A stage ends once the one before it has: each of its threads takes one end.
    for (source, _, count), stage in zip(stages, threads):
        for _ in range(count):
            source.put(None)
        for thread in stage:
            thread.join()


def lines(a) -> dict[str, list]:
    """What is timed, by name, with the command that runs it; its outputs' folder is the last word."""
    pdn = [PDN, "upscale", a.inputs, "--model", a.checkpoint, "--threads", a.threads, "--precision", "f32"]
    pdn += ["--name", f"{{name}}.{a.format}", "--force", "--out-dir"]
    peer = [sys.executable, __file__, "--checkpoint", a.checkpoint, "--inputs", a.inputs, "--threads", a.threads]
    peer += ["--format", a.format, "--ncnn", a.ncnn]
    ours = {"pdn": pdn, "pdn, one at once": [*pdn[:-1], "--jobs", 1, "--out-dir"]}
    ncnn = {f"ncnn {jobs}": [*peer, "--peer", "ncnn", "--jobs", jobs, "--outputs"] for jobs in ("1:1:1", f"1:{a.threads}:2")}
    return ours | {"torch": [*peer, "--peer", "torch", "--outputs"]} | ncnn


def difference(found: Path, expected: Path) -> int:
    import numpy as np
    from PIL import Image

    def levels(path):
        return np.asarray(Image.open(path).convert("RGB"), dtype=np.int16)

    names = sorted(p.name for p in expected.iterdir())
    assert names == sorted(p.name for p in found.iterdir()), f"{found} lacks pictures"
    return max(int(np.abs(levels(found / name) - levels(expected / name)).max()) for name in names)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", required=True, help="IMDN_x4.pth")
    p.add_argument("--pictures")
    p.add_argument("--count", type=int, default=40)
    p.add_argument("--side", type=int, default=256)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--format", default="png", choices=("png", "jpg", "webp", "tif"))
    p.add_argument("--only", nargs="*", help="lines that begin with one of these")
    p.add_argument("--json", action="store_true")
    for hidden in ("peer", "inputs", "outputs", "ncnn", "jobs"):
        p.add_argument(f"--{hidden}", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.peer:
        {"torch": with_torch, "ncnn": with_ncnn}[a.peer](a)
        return
    if not a.pictures:
        p.error("--pictures DIR is needed")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        a.inputs, a.ncnn = str(folder / "in"), str(folder)
        (folder / "in").mkdir()
        cut(folder / "in", a)
        wanted = {name: words for name, words in lines(a).items() if not a.only or any(name.startswith(o) for o in a.only)}
        if any(name.startswith("ncnn") for name in wanted):
            to_ncnn(a.checkpoint, a.side, folder)
        found: dict[str, list[float]] = {name: [] for name in wanted}
        environment = os.environ | {"OMP_NUM_THREADS": str(a.threads)}
        for _ in range(a.rounds):
            for name, words in wanted.items():
                outputs = folder / name
                outputs.mkdir(exist_ok=True)
                start = time.perf_counter()
                subprocess.run([str(w) for w in [*words, outputs]], env=environment, check=True, stdout=subprocess.DEVNULL)
                found[name].append(60 * a.count / (time.perf_counter() - start))
        # Lossy formats differ by their encoders as well.
        exact = "torch" in wanted and a.format != "jpg"
        rows = [
            {
                "line": name,
                "median": statistics.median(rates),
                "least": min(rates),
                "most": max(rates),
                "levels": difference(folder / name, folder / "torch") if exact else None,
            }
            for name, rates in found.items()
        ]
    if a.json:
        print(json.dumps(rows))
        return
    print(f"{a.count} pictures of {a.side}x{a.side} to {a.format} x{SCALE}, {a.threads} threads, {a.rounds} rounds\n")
    print("| | pictures per minute, median | least | most | beside ours | levels from PyTorch |\n|---|---|---|---|---|---|")
    for row in rows:
        beside = row["median"] / rows[0]["median"]
        levels = "" if row["levels"] is None else row["levels"]
        print(f"| {row['line']} | {row['median']:.0f} | {row['least']:.0f} | {row['most']:.0f} | {beside:.2f} | {levels} |")


if __name__ == "__main__":
    main()
