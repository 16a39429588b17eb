"""Makes the small PyTorch files that the checkpoint reader is tested on, in `pickles/`.

Numbers are `i / 8` for the i-th of each tensor, which every type here holds exactly.

    venv/bin/python pickles.py
"""

from collections import OrderedDict
from pathlib import Path

import torch

HERE = Path(__file__).parent / "pickles"


def ramp(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    count = int(torch.tensor(shape).prod())
    return (torch.arange(count, dtype=torch.float64) / 8).reshape(shape).to(dtype)


def save(name: str, value: object, legacy: bool = False) -> None:
    HERE.mkdir(exist_ok=True)
    torch.save(value, HERE / name, _use_new_zipfile_serialization=not legacy)


def main() -> None:
    plain = OrderedDict(weight=ramp(2, 3), bias=ramp(4), steps=torch.tensor(7))
    for legacy, kind in ((False, "zip"), (True, "legacy")):
        save(f"plain_{kind}.pth", plain, legacy)
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            save(f"{str(dtype).split('.')[1]}_{kind}.pth", {"weight": ramp(2, 3, dtype=dtype)}, legacy)
        shared = ramp(24)
        views = {
            "weight": ramp(3, 2).t(),
            "slice": shared[4:10].reshape(2, 3),
            "again": shared[6:12],
            "spread": ramp(2, 1).expand(2, 3),
            "scalar": ramp(1)[0],
            "nothing": torch.zeros(0, 3),
        }
        save(f"views_{kind}.pth", views, legacy)
        module = torch.nn.Linear(3, 2)
        with torch.no_grad():
            module.weight.copy_(ramp(2, 3))
            module.bias.copy_(ramp(2))
        wrapped = {"params": {"module.weight": ramp(9)}, "params_ema": {f"module.{k}": v for k, v in module.named_parameters()}}
        save(f"wrapped_{kind}.pth", wrapped, legacy)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    training = {"epoch": 3, "best": 31.5, "optimizer": optimizer.state_dict(), "state_dict": {"weight": ramp(2, 3)}}
    save("training_zip.pth", training)
    script = torch.jit.script(torch.nn.Linear(1, 1))
    script.save(HERE / "script.pt")


if __name__ == "__main__":
    main()
