"""Hostile files and requests: what each costs the command, and all of them together `pdn serve`.

    cargo build --release
    cargo run -p pdn-testing --example hostile -- hostile
    python3 benches/attacks.py target/release/pdn hostile

Only Python's own library is used. Printed: for each file the seconds and the peak memory (maximum resident set) of `pdn upscale`, which is killed
after half a minute; then, while clients attack a server for thirty seconds, how long /healthz took, what was answered, and the
server's peak memory beside its bound.
"""

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

from serve import Server, form, png, quantile

LONGEST = 30
SECONDS = 30
MIB = 1 << 20
# The server's limits: less than by default, so that attacks come near them.
REQUESTS, MAPS, PIXELS = 1024, 512, 20_000_000
# Of the hostile files five that are refused: of the others the picture is read, and what is hostile left out.
REFUSED = ["jpeg-strips.tif", "pieces.jpg", "scans.jpg", "shared-strips.tif", "tall-tiles.tif"]


def command(arguments):
    """Seconds, peak memory in MiB and what came of a command."""
    begun = time.time()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    killer = threading.Timer(LONGEST, process.kill)
    killer.start()
    said = process.stderr.read().strip().splitlines()
    _, status, used = os.wait4(process.pid, 0)
    killer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    ended = {-signal.SIGKILL: "killed"}.get(process.returncode, f"exit {process.returncode}")
    return time.time() - begun, used.ru_maxrss / 1024, ended, said[-1] if said else ""


def commands(binary, files):
    print(f"{'pdn upscale':34} {'seconds':>8} {'MiB':>7}")
    good = Path(tempfile.mkdtemp()) / "good.png"
    good.write_bytes(png(64, 48))
    rows = [(file.name, [str(file)]) for file in files]
    rows += [(f"a prompt of {n // 1000} kB", [str(good), "--prompt-file", n]) for n in (100_000, 1_000_000)]
    for name, arguments in rows:
        if len(arguments) == 3:
            # Longer than an argument of a command may be: as a request's, by way of captions' reader.
            captions = good.parent / "captions.txt"
            captions.write_text("in" * (arguments[2] // 2) + "\n")
            line = [binary, "embed", "--texts", str(captions), "-o", str(good.parent / "out.safetensors")]
        else:
            line = [binary, "upscale", *arguments, "-m", "bicubic", "-o", str(good.parent / "out.tif"), "--force", "--scale", "1"]
        seconds, peak, ended, said = command(line)
        print(f"{name:34} {seconds:8.2f} {peak:7.0f}  {ended}: {said[:110]}")


def batch(binary, files):
    """275 good pictures alone, and then with 20 bad ones and 5 hostile files among them."""
    folder = Path(tempfile.mkdtemp())
    (folder / "in").mkdir()
    for i in range(275):
        (folder / "in" / f"good{i:03}.png").write_bytes(png(128, 96 + i % 5))

    def run(name):
        out = folder / name
        begun = time.time()
        process = subprocess.run([binary, "upscale", str(folder / "in"), "--out-dir", str(out)], capture_output=True, text=True)
        named = [line for line in process.stderr.splitlines() if "bad" in line or "hostile" in line]
        return time.time() - begun, len(list(out.iterdir())), len(named), process.returncode

    good = run("alone")
    for i in range(20):
        bad = [png(64, 48, rows=20), png(64, 48)[:300], b"\x89PNG\r\n\x1a\n", b"", png(60_000, 60_000, rows=1)][i % 5]
        (folder / "in" / f"bad{i:02}.png").write_bytes(bad)
    refused = [file for file in files if file.name in REFUSED]
    for i, file in enumerate(refused):
        (folder / "in" / f"hostile{i}{file.suffix}").write_bytes(file.read_bytes())
    mixed = run("mixed")
    for what, (seconds, done, named, code) in [("275 good pictures", good), ("with 20 bad and 5 hostile", mixed)]:
        print(f"{what:34} {seconds:8.2f}  {done} written, {named} named, exit {code}")


def attacks(files):
    hostile = [form(picture=file.read_bytes()) for file in files]
    wide, noise = png(3_000_000, 1), png(1200, 900)
    empty = b'{"picture": {"data": ""}, "prompts": [' + b"{}," * 5_000_000 + b"{}]}"

    def post(server, connection, body, path="/v1/upscale", media="multipart/form-data; boundary=b"):
        connection.request("POST", path, body, {"content-type": media})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def slow(server, connection):
        """A client that takes its answer a little at a time."""
        body = form(picture=noise, model="bicubic", format="tiff")
        head = f"POST /v1/upscale HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as stream:
            stream.sendall(head.encode() + body)
            status = int(stream.recv(12).split()[1])
            for _ in range(20):
                stream.recv(1000)
                time.sleep(0.1)
        return status

    return {
        "hostile files": (8, lambda s, c: post(s, c, random.choice(hostile))),
        "hostile files, kept": (4, lambda s, c: post(s, c, random.choice(hostile), "/v1/pictures")),
        "prompts of 100 kB": (2, lambda s, c: post(s, c, form(picture=png(8, 8), prompt="in" * 50_000))),
        "prompts of 1 MB": (2, lambda s, c: post(s, c, form(picture=png(8, 8), prompt="&amp;" * 200_000))),
        "empty prompts, 15 MB": (2, lambda s, c: post(s, c, empty, media="application/json")),
        "wide pictures": (2, lambda s, c: post(s, c, form(picture=wide, model="bicubic"))),
        "pictures to keep": (2, lambda s, c: post(s, c, form(picture=noise), "/v1/pictures")),
        "jobs with pictures as prompts": (4, lambda s, c: post(s, c, form(picture=png(64, 48), prompt_picture=noise), "/v1/jobs")),
        "slow takers": (6, slow),
    }


def client(server, act, until, seen):
    connection = server.connect()
    while time.time() < until:
        begun = time.time()
        try:
            status = act(server, connection)
        except (OSError, http.client.HTTPException, ValueError, IndexError) as error:
            status = type(error).__name__
            connection.close()
            connection = server.connect()
        seen.append((status, time.time() - begun))
        time.sleep(0.2 if status in (429, 503) else 0.0)


def metric(server, name):
    connection = server.connect()
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    return float(next((line.split()[1] for line in lines if line.startswith(f"{name} ")), "nan"))


def served(binary, files):
    server = Server(binary, "--request-memory", REQUESTS, "--memory", MAPS, "--max-pixels", PIXELS)
    begin = server.memory()["VmRSS"]
    until, seen, health = time.time() + SECONDS, defaultdict(list), []
    kinds = attacks(files)
    threads = [
        threading.Thread(target=client, args=(server, act, until, seen[name]))
        for name, (count, act) in kinds.items()
        for _ in range(count)
    ]
    asks = threading.Thread(target=client, args=(server, lambda s, c: time.sleep(0.05) or s.ask(c, "GET", "/healthz"), until, health))
    [thread.start() for thread in [*threads, asks]]
    [thread.join() for thread in [*threads, asks]]
    print(f"\n{len(threads)} clients attack a server for {SECONDS} s")
    for name, answers in seen.items():
        counts = ", ".join(f"{n} x {status}" for status, n in Counter(status for status, _ in answers).most_common())
        print(f"  {name:30} {counts}; p99 {quantile([took for _, took in answers], 0.99) / 1000:.1f} s")
    times = [took - 0.05 for _, took in health]
    statuses = Counter(status for status, _ in health)
    print(f"  /healthz: {dict(statuses)}, p50 {quantile(times, 0.5):.0f} ms, p99 {quantile(times, 0.99):.0f} ms, at most {max(times) * 1000:.0f} ms")
    most = metric(server, "pdn_held_most_bytes") / MIB
    print(f"  held for requests at most {most:.0f} of {REQUESTS} MiB; resident at the start {begin:.0f} MiB")
    peak = server.memory()["VmHWM"]
    print(f"  peak resident memory {peak:.0f} MiB; {REQUESTS} for requests and {MAPS} for maps are {REQUESTS + MAPS}")
    begun = time.time()
    print(f"  SIGTERM: exit {server.stop()} after {time.time() - begun:.1f} s")


def main():
    binary, files = sys.argv[1], sorted(Path(sys.argv[2]).iterdir())
    commands(binary, files)
    batch(binary, files)
    served(binary, files)


if __name__ == "__main__":
    main()
