"""Times a network here and in the engines people use, side by side on the same machine, weights and picture.

    cargo build --release
    python -m venv venv && venv/bin/pip install -r ../tests/reference/requirements.txt -r requirements.txt
    venv/bin/python peers.py [--network edsr-baseline | edsr-baseline+ | rrdb-23 | imdn | srvgg-compact-16] [--scale 4] [--side 256]
                             [--threads 2] [--runs 7] [--rounds 3] [--only pdn openvino]

Each engine runs in a process of its own, so that its peak memory is its own, in rounds one after the other; the median,
least and most over all runs are printed, with the ratio to the first line and the largest difference from PyTorch in float32
over its largest value. ONNX Runtime and OpenVINO read what `pdn convert` writes. PyTorch runs with its memory format
channels_last and glibc kept from giving memory back (`MALLOC_*`), the best setting found for it; OpenVINO for latency.

A network with modules runs in PyTorch three ways: as the paper's equations are written; tuned by hand, the prompt's part
computed beforehand and the masks' numerator taken from the module's input; and folded as it is folded here.
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

# The amplitude of the picture, which is half the network's value range.
AMPLITUDES = {"edsr-baseline": 127.5, "edsr-baseline+": 127.5, "imdn": 0.5, "rrdb-23": 0.5, "srvgg-compact-16": 0.5}


def peak_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def time_ms(run, runs: int) -> tuple[list[float], object]:
    out = run()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        out = run()
        times.append((time.perf_counter() - start) * 1e3)
    return times, out


def network(name: str, scale: int):
    """The network in PyTorch with hashed weights, and its picture's amplitude."""
    import torch
    import hashed
    from networks import Edsr, Imdn, Rrdb, Srvgg, our_name

    built = {
        "edsr-baseline": lambda: Edsr(scale, 64, 16, 1.0),
        "edsr-baseline+": lambda: Edsr(scale, 64, 16, 1.0, dcm={}),
        "imdn": lambda: Imdn(scale, 64, 6),
        "rrdb-23": lambda: Rrdb(scale, 64, 32, 23),
        "srvgg-compact-16": lambda: Srvgg(scale, 64, 16),
    }[name]()
    with torch.no_grad():
        for key, value in built.named_parameters():
            value.copy_(torch.from_numpy(hashed.weight(our_name(key), tuple(value.shape))))
    return built.eval(), AMPLITUDES[name]


def mixed(dcm, p):
    """The kernel and bias that a prompt mixes."""
    import torch

    pi = torch.softmax(dcm.mlp((p * p.numel() ** 0.5).reshape(1, -1, 1, 1)).flatten() / dcm.tau, 0)
    return torch.einsum("n,noikl->oikl", pi, dcm.bank.weight), pi @ dcm.bank.bias


def set_prompt(built, p, folded: bool) -> None:
    """Puts modules that know their prompt in the place of those that read it."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Tuned(nn.Module):
        """The d-channel map is made, and nothing else twice."""

        def __init__(self, dcm):
            super().__init__()
            self.project, self.zeta, self.k = dcm.project, dcm.zeta, dcm.k
            self.weight, self.bias = (t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in mixed(dcm, p))
            self.numerator = torch.einsum("dcij,d->cij", dcm.project.weight, p)[None]
            self.constant = (dcm.project.bias @ p)[None]

        def forward(self, x, _):
            y = self.project(x)
            cosine = F.conv2d(x, self.numerator, self.constant) / torch.linalg.vector_norm(y, dim=1, keepdim=True)
            return F.conv2d(y * torch.sigmoid(self.zeta * cosine), self.weight, self.bias, padding=self.k // 2)

    class Folded(nn.Module):
        """No d-channel map: the norm by the projection's triangle, the kernel composed with the projection."""

        def __init__(self, dcm):
            super().__init__()
            weight, bias = mixed(dcm, p)
            project = torch.cat([dcm.project.weight[:, :, 0, 0], dcm.project.bias[:, None]], 1)
            r = torch.linalg.qr(project.double()).R.float()
            self.weight = torch.einsum("odkl,dc->ockl", weight, project).contiguous(memory_format=torch.channels_last)
            self.bias, self.zeta, self.k = bias, dcm.zeta, dcm.k
            numerator = p @ project
            self.norm = torch.cat([r[:-1, :-1], numerator[None, :-1]])[:, :, None, None]
            self.shift = torch.cat([r[:-1, -1], numerator[-1:]])
            self.rest = r[-1, -1] ** 2

        def forward(self, x, _):
            y = F.conv2d(x, self.norm, self.shift)
            square = (y[:, :-1] ** 2).sum(1, keepdim=True) + self.rest
            mask = torch.sigmoid(self.zeta * y[:, -1:] * torch.rsqrt(square))
            return F.conv2d(torch.cat([x * mask, mask], 1), self.weight, self.bias, padding=self.k // 2)

    for parent in list(built.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ == "Dcm":
                setattr(parent, name, (Folded if folded else Tuned)(child))


def peer(engine: str, a) -> dict:
    import numpy as np
    import hashed

    family, *how = engine.split()
    prompt = hashed.prompt("prompt", 512) if a.network.endswith("+") else None
    picture = hashed.numbers("picture", (1, 3, a.side, a.side), AMPLITUDES[a.network])
    if family == "torch":
        import torch

        torch.set_num_threads(a.threads)
        built, _ = network(a.network, a.scale)
        with torch.inference_mode():
            p = None if prompt is None else torch.from_numpy(prompt)
            if how[0] in ("tuned", "folded"):
                set_prompt(built, p, how[0] == "folded")
            for module in built.modules():
                if isinstance(module, torch.nn.Conv2d):
                    module.to(memory_format=torch.channels_last)
            x = torch.from_numpy(picture).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=how[-1] == "bf16"):
                times, out = time_ms(lambda: built(x, p), a.runs)
        out = out.float().numpy()
    else:
        # The file takes and gives 0 to 1.
        facts = json.loads(a.facts)
        span, mean = facts["range"], np.array(facts["mean"], "f4")[None, :, None, None]
        inputs = {"picture": (picture / span + mean).astype("f4")} | ({} if prompt is None else {"prompt": prompt[None]})
        if family == "onnxruntime":
            import onnxruntime as ort

            options = ort.SessionOptions()
            options.intra_op_num_threads = a.threads
            session = ort.InferenceSession(a.onnx, options, providers=["CPUExecutionProvider"])
            times, out = time_ms(lambda: session.run(None, inputs)[0], a.runs)
        else:
            import openvino as ov

            settings = {"INFERENCE_NUM_THREADS": a.threads, "INFERENCE_PRECISION_HINT": how[0], "PERFORMANCE_HINT": "LATENCY"}
            compiled = ov.Core().compile_model(a.onnx, "CPU", settings)
            times, out = time_ms(lambda: compiled(inputs)[0], a.runs)
        out = (out - mean) * span
    np.ascontiguousarray(out, dtype="<f4").tofile(a.output)
    return {"times": times, "peak_mib": peak_mib()}


def engines(a) -> list[str]:
    """All lines of the table: ours first, then the peers'."""
    flags = Path("/proc/cpuinfo").read_text()
    precisions = ["f32"] + (["bf16x2"] if "amx_bf16" in flags else []) + (["bf16"] if "_bf16" in flags else [])
    ours = [f"pdn {precision}" for precision in precisions] + ["pdn f32 avx2"]
    ways = ["torch tuned", "torch folded"] if a.network.endswith("+") else ["torch"]
    torch = [f"{way} {precision}" for way in ways for precision in ("f32", "bf16")]
    torch = (["torch written f32"] if a.network.endswith("+") else []) + torch
    return ours + ["openvino f32", "openvino bf16", "openvino f32 avx2", "onnxruntime f32"] + torch


def unclip(path: str) -> None:
    """Hashed weights give numbers far beyond 0 to 1: without its last step the file gives them as they are."""
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "Clip" and node.output[0] == model.graph.output[0].name:
            node.op_type = "Identity"
            del node.input[1:]
    onnx.save(model, path)


def command(engine: str, a, folder: str) -> tuple[list, dict]:
    """What runs an engine, and the environment it needs."""
    output = f"{folder}/{engine}"
    if engine.startswith("pdn"):
        _, precision, *isa = engine.split()
        ours = [HERE.parent / "target/release/pdn", "bench", a.network, "--json", "--scale", a.scale, "--size", a.side]
        ours += ["--runs", a.runs, "--threads", a.threads, "--precision", precision, "--output", output, "--force"]
        return ours + (["--isa", isa[0]] if isa else []), {}
    peer = [sys.executable, __file__, "--peer", engine, "--onnx", a.onnx, "--facts", a.facts, "--output", output]
    for name in ("network", "scale", "side", "runs", "threads"):
        peer += [f"--{name}", getattr(a, name)]
    limit = {"ONEDNN_MAX_CPU_ISA": "AVX2"} if engine.endswith("avx2") else {}
    return peer, limit | (KEPT if engine.startswith("torch") else {})


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--network", default="edsr-baseline", choices=list(AMPLITUDES))
    p.add_argument("--scale", type=int, default=4)
    p.add_argument("--side", type=int, default=256)
    p.add_argument("--runs", type=int, default=7)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--only", nargs="*", help="lines that begin with one of these")
    for hidden in ("peer", "onnx", "facts", "output"):
        p.add_argument(f"--{hidden}", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.peer:
        print(json.dumps(peer(a.peer, a)))
        return
    import numpy as np

    lines = [e for e in engines(a) if not a.only or any(e.startswith(o) for o in a.only)]
    truth = "torch written f32" if a.network.endswith("+") else "torch f32"
    with tempfile.TemporaryDirectory() as folder:
        a.onnx, pdn = f"{folder}/network.onnx", HERE.parent / "target/release/pdn"
        subprocess.run([pdn, "convert", a.network, a.onnx, "--scale", str(a.scale)], check=True, stdout=subprocess.DEVNULL)
        unclip(a.onnx)
        once = [pdn, "bench", a.network, "--scale", str(a.scale), "--size", "16", "--runs", "1", "--json"]
        a.facts = json.dumps(json.loads(subprocess.run(once, check=True, capture_output=True, text=True).stdout)["picture"])
        found: dict[str, list[dict]] = {engine: [] for engine in lines}
        for _ in range(a.rounds):
            for engine in lines:
                words, more = command(engine, a, folder)
                done = subprocess.run([str(w) for w in words], env=os.environ | more, check=True, capture_output=True, text=True)
                found[engine].append(json.loads(done.stdout.splitlines()[-1]))
        expected = np.fromfile(f"{folder}/{truth}", "<f4") if truth in lines else None
        all_times = {engine: [t for r in results for t in r["times"]] for engine, results in found.items()}
        base = statistics.median(all_times[lines[0]])
        print(f"{a.network} x{a.scale}, {a.side}x{a.side}, {a.threads} threads, {a.rounds} x {a.runs} runs\n")
        print("| engine | ms, median | least | most | beside ours | peak memory, MiB | difference |\n|---|---|---|---|---|---|---|")
        for engine, times in all_times.items():
            got = np.fromfile(f"{folder}/{engine}", "<f4")
            difference = "" if expected is None else f"{np.abs(got - expected).max() / np.abs(expected).max():.1e}"
            peak = max(r["peak_mib"] for r in found[engine])
            median = statistics.median(times)
            print(f"| {engine} | {median:.0f} | {min(times):.0f} | {max(times):.0f} | {median / base:.2f} | {peak} | {difference} |")


if __name__ == "__main__":
    main()
