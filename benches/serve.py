"""Load on `pdn serve`: many clients at once, bad ones among them, and whether memory is given back.

    cargo build --release
    python3 benches/serve.py target/release/pdn

Only Python's own library is used. Printed: for each kind of client what was answered, p50 and p99 of the time until the whole
answer, and the server's resident memory (VmRSS and its peak, VmHWM).
"""

import http.client
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter, defaultdict

CLIENTS = 64
SECONDS = 30
SMALL = 10_000


def png(width, height, rows=None):
    """A picture of noise; `rows` fewer than its head says make it a broken one."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    noise = random.Random(width * height)
    data = b"".join(b"\0" + noise.randbytes(width * 3) for _ in range(height if rows is None else rows))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def form(**parts):
    body = b""
    for name, content in parts.items():
        content = content.encode() if isinstance(content, str) else content
        body += f'--b\r\ncontent-disposition: form-data; name="{name}"; filename="../../x"\r\n\r\n'.encode() + content + b"\r\n"
    return body + b"--b--\r\n"


class Server:
    def __init__(self, binary, *options):
        command = [binary, "serve", "--port", "0", "--log-format", "none", "--threads", "2", *map(str, options)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            found = dict(line.split(":", 1) for line in file)
        return {name: int(found[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}

    def ask(self, connection, method, path, body=None):
        headers = {"content-type": "multipart/form-data; boundary=b"} if body else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def stop(self):
        self.process.terminate()
        return self.process.wait(60)


def raw(server, request, slowly=0.0):
    """The status of an answer to bytes, sent piece by piece."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as stream:
        for at in range(0, len(request), 64 if slowly else len(request)):
            stream.sendall(request[at : at + (64 if slowly else len(request))])
            time.sleep(slowly)
        return int(stream.recv(12).split()[1])


GOOD = form(picture=png(32, 24), prompt="a brown dog on the beach")
LARGER = form(picture=png(160, 120), prompt="a wall of bricks")
BROKEN = form(picture=png(64, 64, rows=20))
BOMB = form(picture=png(60_000, 60_000, rows=1))
NOTHING = form(picture=b"no picture")
PATHS = ["/../../etc/passwd", "/%2e%2e/etc/passwd", "/v1/jobs/..%2f..%2fx", "/page.css/../x", "//etc/passwd"]


def slow(server, _):
    body = form(picture=png(24, 16), model="bicubic")
    head = f"POST /v1/upscale HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return raw(server, head.encode() + body, slowly=0.05)


def gone(server, _):
    """A client that goes away while it waits."""
    head = f"POST /v1/upscale HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: {len(LARGER)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as stream:
        stream.sendall(head.encode() + LARGER)
        time.sleep(0.05)
    return "left"


KINDS = {
    "small": (28, lambda server, c: server.ask(c, "POST", "/v1/upscale", GOOD)),
    "larger": (8, lambda server, c: server.ask(c, "POST", "/v1/upscale", LARGER)),
    "page": (6, lambda server, c: server.ask(c, "GET", random.choice(["/", "/page/page.js", "/v1/models", "/metrics"]))),
    "slow": (6, slow),
    "gone": (4, gone),
    "broken": (4, lambda server, c: server.ask(c, "POST", "/v1/upscale", random.choice([BROKEN, NOTHING]))),
    "bomb": (4, lambda server, c: server.ask(c, "POST", "/v1/upscale", BOMB)),
    "paths": (4, lambda server, c: raw(server, f"GET {random.choice(PATHS)} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())),
}


def client(server, kind, until, seen):
    connection = server.connect()
    while time.time() < until:
        begun = time.time()
        try:
            status = KINDS[kind][1](server, connection)
        except (OSError, http.client.HTTPException, ValueError, IndexError) as error:
            status = type(error).__name__
            connection.close()
            connection = server.connect()
        seen[kind].append((status, time.time() - begun))
        # A client that is refused waits, as it was told, if not as long.
        time.sleep(0.2 if status == 429 else 0.0)


def quantile(times, part):
    times = sorted(times)
    return 1000 * times[min(len(times) - 1, int(part * len(times)))]


def crowd(server):
    seen, until = defaultdict(list), time.time() + SECONDS
    kinds = [kind for kind, (n, _) in KINDS.items() for _ in range(n)]
    assert len(kinds) == CLIENTS
    threads = [threading.Thread(target=client, args=(server, kind, until, seen)) for kind in kinds]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    print(f"{CLIENTS} clients at once for {SECONDS} s")
    for kind, answers in seen.items():
        counts = ", ".join(f"{n} x {status}" for status, n in Counter(status for status, _ in answers).most_common())
        times = [took for status, took in answers if status in (200, 404, 413, 415, 422)] or [took for _, took in answers]
        print(f"  {kind:7} {counts}; p50 {quantile(times, 0.5):.0f} ms, p99 {quantile(times, 0.99):.0f} ms")


def many(server):
    def some(count, times, wrong):
        connection = server.connect()
        body = form(picture=png(8, 8), model="bicubic")
        for _ in range(count):
            begun = time.time()
            status = server.ask(connection, "POST", "/v1/upscale", body)
            times.append(time.time() - begun)
            wrong.extend([status] if status != 200 else [])

    for round in range(2):
        before, times, wrong, begun = server.memory(), [], [], time.time()
        threads = [threading.Thread(target=some, args=(SMALL // 4, times, wrong)) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        took, after = time.time() - begun, server.memory()
        print(
            f"{len(times)} small requests, round {round + 1}: {len(times) / took:.0f} a second, {Counter(wrong) or 'all 200'}; "
            f"p50 {quantile(times, 0.5):.1f} ms, p99 {quantile(times, 0.99):.1f} ms; "
            f"VmRSS {before['VmRSS']:.1f} to {after['VmRSS']:.1f} MiB"
        )


def main():
    server = Server(sys.argv[1])
    print(f"at the start: {server.memory()}")
    many(server)
    crowd(server)
    time.sleep(1)
    print(f"after the crowd: {server.memory()}")
    many(server)
    assert server.ask(server.connect(), "GET", "/healthz") == 200
    print(f"at the end: {server.memory()}; stopped with {server.stop()}")


if __name__ == "__main__":
    main()
