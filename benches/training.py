"""Times a step of training here and in PyTorch, side by side on the same machine: batches of 16 patches of 48x48, L1, Adam.

    cargo build --release -p pdn-train --example step
    python -m venv venv && venv/bin/pip install -r ../tests/reference/requirements.txt
    venv/bin/python training.py [--network edsr-baseline] [--scale 4] [--steps 12] [--rounds 2] [--device cuda]

Both allocators are kept from giving memory back. Both run in float32 and with bf16 over float32 weights; PyTorch by autocast,
with its memory format channels_last, its best. Its batch stands ready; ours is cut from pictures in the time taken. A
network with modules runs as it is written in PyTorch, folded here. On a GPU, for which the example is built with
`--features cuda`, convolutions may multiply in TF32, as PyTorch's do if nothing is said, and cuDNN chooses by measuring.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from peers import HERE, KEPT, network, peak_mib


def torch_step(a) -> dict:
    import time

    import torch

    torch.set_num_threads(a.threads)
    torch.backends.cudnn.benchmark = True
    built, amplitude = network(a.network, a.scale)
    built = built.train().to(a.device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(built.parameters(), 1e-4)

    def numbers(side: int):
        return ((torch.rand(16, 3, side, side) * 2 - 1) * amplitude).to(a.device, memory_format=torch.channels_last)

    picture, target = numbers(48), numbers(48 * a.scale)
    prompt = torch.nn.functional.normalize(torch.rand(512), dim=0).to(a.device) if a.network.endswith("+") else None
    times = []
    for _ in range(a.steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(a.device, torch.bfloat16, enabled=a.peer == "bf16"):
            out = built(picture, prompt)
        (out.float() - target).abs().mean().backward()
        optimizer.step()
        if a.device == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
    return {"ms": statistics.median(times[2:]), "peak_mib": peak_mib()}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--network", default="edsr-baseline")
    p.add_argument("--scale", type=int, default=4)
    p.add_argument("--steps", type=int, default=12)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    p.add_argument("--peer", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.peer:
        print(json.dumps(torch_step(a)))
        return
    same = ["--network", a.network, "--scale", a.scale, "--steps", a.steps, "--threads", a.threads]
    same += ["--device", a.device]
    step = [HERE.parent / "target/release/examples/step", a.network, a.scale, a.steps, a.device]
    commands = {"pdn float32": [*step, "f32"], "pdn bf16": [*step, "bf16"]}
    for peer in ("float32", "bf16"):
        commands[f"PyTorch {peer}, channels_last"] = [sys.executable, Path(__file__), "--peer", peer, *same]
    found: dict[str, list[dict]] = {name: [] for name in commands}
    for _ in range(a.rounds):
        for name, command in commands.items():
            more = KEPT if name.startswith("PyTorch") else {"MIMALLOC_PURGE_DELAY": "10000"}
            environment = os.environ | {"RAYON_NUM_THREADS": str(a.threads)} | more
            done = subprocess.run([str(c) for c in command], env=environment, check=True, capture_output=True, text=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    base = statistics.median(r["ms"] for r in found["pdn float32"])
    print(f"{a.network} x{a.scale}, 16 patches of 48x48, {a.device}, {a.threads} threads, median of {a.rounds} x {a.steps - 2} steps\n")
    print("| engine | ms a step | beside ours | peak memory, MiB |\n|---|---|---|---|")
    for name, results in found.items():
        ms = statistics.median(r["ms"] for r in results)
        print(f"| {name} | {ms:.0f} | {ms / base:.2f} | {max(r['peak_mib'] for r in results)} |")


if __name__ == "__main__":
    main()
