"""Reads a run's TensorBoard events with TensorBoard's own reader, and compares them with its tables.

    python -m venv venv && venv/bin/pip install -r requirements-events.txt
    venv/bin/python events.py RUN

The test `tensorboard_reads_what_a_run_writes` of pdn-train runs it where `python3` has the package; PDN_PYTHON names another.
"""

import csv
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = Path(sys.argv[1])
accumulator = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0})
accumulator.Reload()


def check(file: str, prefix: str, skipped: set[str]) -> int:
    """Every column of a table is a curve, with a point for each row."""
    rows = list(csv.DictReader((run / file).open()))
    columns = [name for name in rows[0] if name not in skipped]
    for name in columns:
        points = [(e.step, e.value) for e in accumulator.Scalars(f"{prefix}/{name}")]
        expected = [(int(row["step"]), float(row[name])) for row in rows]
        assert [step for step, _ in points] == [step for step, _ in expected], (name, points, expected)
        for (_, found), (_, value) in zip(points, expected):
            assert abs(found - value) <= 1e-6 * abs(value) + 1e-30, (name, found, value)
    return len(columns)


curves = check("losses.csv", "train", {"step", "seconds"}) + check("figures.csv", "held back", {"step", "seconds", "loss"})
assert len(accumulator.Tags()["scalars"]) == curves, accumulator.Tags()
images = accumulator.Tags()["images"]
pictures = sorted(path.stem for path in (run / "samples").glob("*.png"))
assert sorted(images) == pictures, (images, pictures)
for name in images:
    assert accumulator.Images(name)[-1].encoded_image_string == (run / "samples" / f"{name}.png").read_bytes()
print(f"{curves} curves, {len(images)} pictures")
