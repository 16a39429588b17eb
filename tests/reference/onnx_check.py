"""Runs exported networks in onnxruntime and OpenVINO and compares them with the engine, and with PyTorch's golden files.

    cargo build --release && cargo run --release -p pdn-engine --example onnx_towers -- TOWERS
    python -m venv venv && venv/bin/pip install -r requirements-onnx.txt
    venv/bin/python onnx_check.py [--pdn ../../target/release/pdn] [--towers TOWERS] [--presets NAME ...]

Every preset is exported by `pdn convert` with hashed weights, those that take a prompt also with one folded in, and run on
the picture that `pdn bench` runs on: alone, in a batch of two, and clipped as users get it. What is compared is the map
before the clip, so that no difference hides; differences are the largest over the largest value. Fails above TOLERANCE.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import hashed

HERE = Path(__file__).resolve().parent
# float32 in another order of sums; the engine itself is held to 5e-6 of PyTorch in float64.
TOLERANCE = 2e-5
WIDTH, HEIGHT = 12, 10
def command(*arguments: object) -> str:
    return subprocess.run([str(a) for a in arguments], check=True, capture_output=True, text=True).stdout


def presets(pdn: Path) -> list[str]:
    """The names that `pdn bench` knows, as it says them of a name that it does not know, but for those with weights."""
    said = subprocess.run([pdn, "bench", "?"], capture_output=True, text=True).stderr
    names = said.split("one of ")[1].strip().split(", ")
    return [name for name in names if subprocess.run([pdn, "info", name], capture_output=True).returncode != 0]


class Runtimes:
    """A file, opened by both runtimes, with what stands before the clip as a second output."""

    def __init__(self, path: Path):
        self.model = onnx.load(path)
        onnx.checker.check_model(self.model, full_check=True)
        last = self.model.graph.node[-1]
        if last.op_type == "Clip":
            unclipped = onnx.helper.make_empty_tensor_value_info(last.input[0])
            unclipped.type.CopyFrom(self.model.graph.output[0].type)
            self.model.graph.output.append(unclipped)
        data = self.model.SerializeToString()
        self.inputs = [i.name for i in self.model.graph.input]
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        compiled = openvino.Core().compile_model(
            openvino.Core().read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        self.run = {
            "onnxruntime": lambda given: session.run(None, given),
            "openvino": lambda given: [np.array(v) for v in compiled(given).values()],
        }


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape, f"{found.shape}, expected {expected.shape}"
    return float(np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max())


def check(runtimes: Runtimes, picture: np.ndarray, expected: np.ndarray, look: dict, given: dict) -> dict[str, float]:
    """The difference of each runtime for a picture and its result in the network's value range."""
    mean, scale = np.array(look["mean"], np.float64).reshape(1, 3, 1, 1), look["range"]
    rgb = (picture / scale + mean).astype(np.float32)
    found = {}
    for name, run in runtimes.run.items():
        clipped, raw = run({"picture": rgb} | given)
        assert np.array_equal(clipped, raw.clip(0, 1)), f"{name}: clipped otherwise"
        found[name] = apart((raw - mean) * scale, expected)
        two = np.concatenate([rgb, rgb[..., ::-1]])
        both, other = run({"picture": two} | given)[1], run({"picture": rgb[..., ::-1].copy()} | given)[1]
        batch = max(apart(both[:1], raw), apart(both[1:], other))
        assert batch < TOLERANCE, f"{name}: a batch differs by {batch:.1e} from its pictures"
    return found


def golden_of(name: str) -> Path:
    return HERE / "golden" / f"{name.replace('-', '_').replace('+', '_plus')}_x4.safetensors"


def model(pdn: Path, name: str, folder: Path) -> str | Path:
    """What the command is given: the preset's name, or a file where its golden file has smaller branches."""
    golden = golden_of(name)
    if not golden.exists():
        return name
    with safe_open(golden, "np") as file:
        factor = float(file.metadata().get("branch", 1.0))
    if factor == 1.0:
        return name
    path = folder / "damped.safetensors"
    command(pdn, "convert", "--force", name, path)
    save_file({key: hashed.damped(key, value, factor) for key, value in load_file(path).items()}, path)
    return path


def check_preset(pdn: Path, name: str, folder: Path) -> list[tuple[str, dict[str, float]]]:
    given_model = model(pdn, name, folder)
    bench = [pdn, "bench", given_model, "--size", f"{WIDTH}x{HEIGHT}", "--runs", 1, "--json", "--force", "--output", folder / "out"]
    facts = json.loads(command(*bench))
    look, times = facts["picture"], facts["scale"]
    picture = hashed.numbers("picture", (1, 3, HEIGHT, WIDTH), look["range"] / 2)
    expected = np.fromfile(folder / "out", "<f4").reshape(1, 3, HEIGHT * times, WIDTH * times)
    path, rows = folder / "network.onnx", []

    def compare(label: str, *options: object) -> bool:
        """Adds a row for the network so converted, and one for its golden file; whether it takes a prompt."""
        command(pdn, "convert", "--force", given_model, path, *options)
        runtimes = Runtimes(path)
        given = {"prompt": hashed.prompt("prompt", 512)[None]} if "prompt" in runtimes.inputs else {}
        rows.append((f"{name}{label}", check(runtimes, picture, expected, look, given)))
        if (golden := golden_of(name)).exists():
            with safe_open(golden, "np") as file:
                about, output = file.metadata(), file.get_tensor("output")
            size = tuple(json.loads(about["picture"]))
            small = hashed.numbers("picture", (1, *size), float(about["amplitude"]))
            truth = output.reshape(1, 3, size[1] * times, size[2] * times)
            rows.append((f"{name}{label}, PyTorch", check(runtimes, small, truth, look, given)))
        return bool(given)

    if compare(""):
        compare(", train form", "--form", "train")
        embedding = folder / "prompt.safetensors"
        names = {"encoder": "hashed", "names": json.dumps(["prompt"])}
        save_file({"embeddings": hashed.prompt("prompt", 512)[None]}, embedding, names)
        compare(", prompt folded in", "--prompt-embedding", embedding)
    return rows


def check_towers(folder: Path) -> list[tuple[str, dict[str, float]]]:
    rows = []
    for path in sorted(folder.glob("*.onnx")):
        given = load_file(path.with_suffix(".safetensors"))
        expected = given.pop("embedding")
        if "tokens" in given:
            given["tokens"] = given["tokens"].astype(np.int64)
        found = {}
        for name, run in Runtimes(path).run.items():
            found[name] = apart(run(given)[0], expected)
            assert found[name] < TOLERANCE, f"{path.stem}: {name}: off by {found[name]:.1e}"
            twice = run({key: np.concatenate([value] * 2) for key, value in given.items()})[0]
            assert apart(twice, np.concatenate([expected] * 2)) < TOLERANCE, f"{path.stem}: {name}: a batch differs"
        rows.append((path.stem, found))
    assert rows, f"{folder}: no towers"
    return rows


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pdn", type=Path, default=HERE.parents[1] / "target/release/pdn")
    p.add_argument("--towers", type=Path)
    p.add_argument("--presets", nargs="*")
    a = p.parse_args()
    print("| network x4 | onnxruntime | OpenVINO |\n|---|---|---|")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        names = presets(a.pdn) if a.presets is None else a.presets
        jobs = [lambda name=name: check_preset(a.pdn, name, Path(folder)) for name in names]
        for job in jobs + ([lambda: check_towers(a.towers)] if a.towers else []):
            for label, found in job():
                worst = max(worst, *found.values())
                print(f"| {label} | {found['onnxruntime']:.1e} | {found['openvino']:.1e} |", flush=True)
    if not worst < TOLERANCE:
        sys.exit(f"differences up to {worst:.1e}, more than {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
