"""Weights and pictures as a function of a name and an index: the other half of `pdn_network::hashed`."""

import re

import numpy as np


def unit(name: str, count: int) -> np.ndarray:
    """Numbers in -1..1, exact in float32: FNV-1a of the name, SplitMix64's finaliser, the top 24 bits."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = (z ^ (z >> np.uint64(31))) >> np.uint64(40)
    return z.astype(np.float64) / 2**23 - 1.0


def numbers(name: str, shape: tuple[int, ...], bound: float) -> np.ndarray:
    count = int(np.prod(shape))
    return (unit(name, count) * bound).astype(np.float32).reshape(shape)


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter: zeta is 50; kernels have variance 1 / fan-in; everything else lies within 0.1."""
    if name.endswith("zeta"):
        return np.full(shape, 50.0, np.float32)
    if name.endswith("weight") and len(shape) >= 4:
        return numbers(name, shape, (3.0 / float(np.prod(shape[-3:]))) ** 0.5)
    return numbers(name, shape, 0.1)


def prompt(name: str, dim: int) -> np.ndarray:
    raw = numbers(name, (dim,), 1.0).astype(np.float64)
    return (raw / np.sqrt(np.sum(raw**2))).astype(np.float32)


# The last kernels of RCAN's branches. As they are, numbers grow by ten powers of ten over its groups, every attention is
# all or nothing, and rounding alone changes the result: smaller branches make a network that can be compared.
BRANCH_ENDS = r"(conv2|\.conv|conv_after_body)\.weight$"


def damped(name: str, value: np.ndarray, factor: float) -> np.ndarray:
    """A parameter, times a factor where it is the last kernel of a branch."""
    return value * np.float32(factor if re.search(BRANCH_ENDS, name) else 1.0)
