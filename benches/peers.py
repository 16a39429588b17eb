"""Times a network here and in the engines people use, side by side on the same machine, weights and picture.

    cargo build --release
    python -m venv venv && venv/bin/pip install -r ../tests/reference/requirements.txt -r requirements.txt
    venv/bin/python peers.py [--network edsr-baseline] [--scale 4] [--side 256] [--runs 7] [--rounds 3] [--isa avx512]

Each engine runs in a process of its own, so that its peak memory is its own, in rounds one after the other; the median
over the rounds is printed, with the ratio to ours and the largest difference from PyTorch in float32 over its largest
value. PyTorch runs with its memory format channels_last and glibc kept from giving memory back (`MALLOC_*`), the best
setting found for it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "reference"))

KEPT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 40), "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 28)}


def peak_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def median_ms(run, runs: int) -> tuple[float, object]:
    out = run()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        out = run()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times), out


def network(name: str, scale: int):
    """The network in PyTorch with hashed weights, and its picture."""
    import torch
    import hashed
    from networks import Edsr, Imdn, our_name

    built, amplitude = {
        "edsr-baseline": lambda: (Edsr(scale, 64, 16, 1.0), 127.5),
        "edsr-baseline+": lambda: (Edsr(scale, 64, 16, 1.0, dcm={}), 127.5),
        "imdn": lambda: (Imdn(scale, 64, 6), 0.5),
    }[name]()
    with torch.no_grad():
        for key, value in built.named_parameters():
            value.copy_(torch.from_numpy(hashed.weight(our_name(key), tuple(value.shape))))
    return built.eval(), amplitude


def peer(engine: str, a) -> dict:
    import numpy as np
    import hashed

    if engine == "torch":
        import torch

        torch.set_num_threads(a.threads)
        built, amplitude = network(a.network, a.scale)
        prompt = torch.from_numpy(hashed.prompt("prompt", 512)) if a.network.endswith("+") else None
        picture = torch.from_numpy(hashed.numbers("picture", (1, 3, a.side, a.side), amplitude))
        for module in built.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.to(memory_format=torch.channels_last)
        picture = picture.to(memory_format=torch.channels_last)
        with torch.inference_mode():
            ms, out = median_ms(lambda: built(picture, prompt), a.runs)
        out = out.numpy()
    else:
        amplitude = 0.5 if a.network == "imdn" else 127.5
        picture = hashed.numbers("picture", (1, 3, a.side, a.side), amplitude)
        if engine == "onnxruntime":
            import onnxruntime as ort

            options = ort.SessionOptions()
            options.intra_op_num_threads = a.threads
            session = ort.InferenceSession(a.onnx, options, providers=["CPUExecutionProvider"])
            ms, out = median_ms(lambda: session.run(None, {"picture": picture})[0], a.runs)
        else:
            import openvino as ov

            settings = {"INFERENCE_NUM_THREADS": a.threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
            compiled = ov.Core().compile_model(a.onnx, "CPU", settings)
            ms, out = median_ms(lambda: compiled([picture])[0], a.runs)
    np.ascontiguousarray(out, dtype="<f4").tofile(a.output)
    return {"ms": ms, "peak_mib": peak_mib()}


def export(a, path: str) -> None:
    """EDSR as ONNX, written node by node."""
    import numpy as np
    import onnx
    from onnx import helper as h, numpy_helper

    if a.network != "edsr-baseline":
        return
    built, _ = network(a.network, a.scale)
    nodes, constants = [], []

    def conv(name: str, x: str, module) -> str:
        for kind in ("weight", "bias"):
            value = getattr(module, kind).detach().numpy()
            constants.append(numpy_helper.from_array(np.ascontiguousarray(value), f"{name}.{kind}"))
        nodes.append(h.make_node("Conv", [x, f"{name}.weight", f"{name}.bias"], [name], pads=[1] * 4))
        return name

    def op(kind: str, name: str, *inputs: str, **more) -> str:
        nodes.append(h.make_node(kind, list(inputs), [name], **more))
        return name

    head = x = conv("head", "picture", built.conv_first)
    for i, block in enumerate(built.body):
        y = op("Relu", f"relu{i}", conv(f"a{i}", x, block.conv1))
        x = op("Add", f"sum{i}", x, conv(f"b{i}", y, block.conv2))
    x = op("Add", "long", conv("after", x, built.conv_after_body), head)
    for i, (up, r) in enumerate(zip(built.upsample, built.factors)):
        x = op("DepthToSpace", f"shuffle{i}", conv(f"up{i}", x, up), blocksize=r, mode="CRD")
    x = conv("last", x, built.conv_last)
    shape = lambda s: [1, 3, s, s]
    picture = h.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, shape(a.side))
    out = h.make_tensor_value_info(x, onnx.TensorProto.FLOAT, shape(a.side * a.scale))
    model = h.make_model(h.make_graph(nodes, "edsr", [picture], [out], constants), opset_imports=[h.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--network", default="edsr-baseline")
    p.add_argument("--scale", type=int, default=4)
    p.add_argument("--side", type=int, default=256)
    p.add_argument("--runs", type=int, default=7)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--isa", nargs="*", default=["avx512", "avx2"])
    p.add_argument("--peer", help=argparse.SUPPRESS)
    p.add_argument("--onnx", help=argparse.SUPPRESS)
    p.add_argument("--output", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.peer:
        print(json.dumps(peer(a.peer, a)))
        return
    import numpy as np

    engines = ["torch"] + (["onnxruntime", "openvino"] if a.network == "edsr-baseline" else [])
    with tempfile.TemporaryDirectory() as folder:
        a.onnx = f"{folder}/network.onnx"
        export(a, a.onnx)
        ours = [HERE.parent / "target/release/pdn", "bench", a.network, "--json"]
        ours += ["--scale", a.scale, "--size", a.side, "--runs", a.runs, "--threads", a.threads]
        commands = {f"pdn {isa}": ours + ["--isa", isa, "--output", f"{folder}/pdn {isa}"] for isa in a.isa}
        for engine in engines:
            commands[engine] = [sys.executable, __file__, "--peer", engine, "--onnx", a.onnx, "--output", f"{folder}/{engine}"]
            for name in ("network", "scale", "side", "runs", "threads"):
                commands[engine] += [f"--{name}", getattr(a, name)]
        found: dict[str, list[dict]] = {name: [] for name in commands}
        for _ in range(a.rounds):
            for name, command in commands.items():
                environment = os.environ | (KEPT if name == "torch" else {})
                done = subprocess.run([str(c) for c in command], env=environment, check=True, capture_output=True, text=True)
                found[name].append(json.loads(done.stdout.splitlines()[-1]))
        truth = np.fromfile(f"{folder}/torch", "<f4")
        base = statistics.median(r["ms"] for r in found[f"pdn {a.isa[0]}"])
        print(f"{a.network} x{a.scale}, {a.side}x{a.side}, {a.threads} threads, float32, median of {a.rounds} x {a.runs}\n")
        print("| engine | ms | beside ours | peak memory, MiB | difference |\n|---|---|---|---|---|")
        for name, results in found.items():
            ms = statistics.median(r["ms"] for r in results)
            difference = np.abs(np.fromfile(f"{folder}/{name}", "<f4") - truth).max() / np.abs(truth).max()
            print(f"| {name} | {ms:.0f} | {ms / base:.2f} | {max(r['peak_mib'] for r in results)} | {difference:.1e} |")


if __name__ == "__main__":
    main()
