"""Makes `clip/files.json`, `clip/squares.safetensors` and `clip/openai.pt`: what transformers and open_clip make of a sentence and a picture from end
to end, with their own tokenizer and preprocessing, in float64, for a small CLIP in each layout; and a TorchScript archive
in float16 as OpenAI's are. Numbers are hashed from the keys of the packages' own state dictionaries, so that no weights
but the archive's are kept: the test writes the other files.

    venv/bin/pip install -r requirements-clip.txt && venv/bin/python clip_files.py
"""

import json
from pathlib import Path

import numpy as np
import open_clip
import torch
import transformers
from open_clip.transform import image_transform
from PIL import Image
from safetensors.numpy import save_file

import hashed
from tokens import openai

HERE = Path(__file__).parent / "clip"
TEXT = "A brown dog, running &amp; jumping: it's 3 o'clock"
# Odd sizes, made larger and smaller, square and not.
PICTURES = [(50, 37), (37, 61), (20, 13), (301, 200), (33, 32), (32, 32), (64, 17), (641, 427), (1, 40)]
WIDTHS = {"text": 64, "picture": 128}
SIDE, PATCH, LAYERS, DIM = 32, 8, 2, 48


def picture(width: int, height: int) -> Image.Image:
    numbers = hashed.unit(f"picture {width}x{height}", width * height * 3)
    return Image.fromarray(((numbers + 1.0) * 128.0).astype(np.uint8).reshape(height, width, 3))


def number(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    if not shape:
        return torch.tensor(4.6)
    around = 1.0 if any(mark in key for mark in ("ln_", "norm", "layrnorm")) and key.endswith("weight") else 0.0
    return torch.from_numpy(around + hashed.numbers(key, shape, 0.2 if around else (3.0 / shape[-1]) ** 0.5 * 0.5))


def filled(model: torch.nn.Module) -> dict[str, list[int]]:
    own = {key: number(key, tuple(old.shape)) for key, old in model.state_dict().items() if old.is_floating_point()}
    model.load_state_dict(own, strict=False)
    model.double().eval()
    return {key: list(tensor.shape) for key, tensor in own.items()}


def plain(vocabulary: int, context: int, quick_gelu: bool, custom: bool = False, widths=WIDTHS, layers=LAYERS):
    vision = dict(layers=layers, width=widths["picture"], patch_size=PATCH, image_size=SIDE)
    text = dict(context_length=context, vocab_size=vocabulary, width=widths["text"], heads=1, layers=layers)
    kind = open_clip.model.CustomTextCLIP if custom else open_clip.model.CLIP
    return kind(DIM, vision, text, quick_gelu=quick_gelu), dict(embed_dim=DIM, vision_cfg=vision, text_cfg=text)


def unit(vector: torch.Tensor) -> list[float]:
    return [round(v, 9) for v in (vector / vector.norm())[0].tolist()]


def expected(encode_text, encode_picture, tokens: list[int], context: int, look) -> dict:
    padded = torch.tensor([tokens + [0] * (context - len(tokens))])
    with torch.no_grad():
        pictures = [unit(encode_picture(look(picture(*size)).double())) for size in PICTURES[:3]]
        return dict(text=unit(encode_text(padded)), pictures=pictures)


def look(image: Image.Image) -> torch.Tensor:
    transform = image_transform(SIDE, is_train=False, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD)
    return transform(image)[None]


def with_open_clip(custom: bool, quick_gelu: bool) -> dict:
    model, config = plain(49408, 77, quick_gelu, custom)
    shapes = filled(model)
    tokens = [49406, *openai().encode(TEXT), 49407]
    said = {"model_cfg": config | ({"quick_gelu": True} if quick_gelu else {})}
    return dict(config=said, shapes=shapes) | expected(model.encode_text, model.encode_image, tokens, 77, look)


def with_transformers(act: str) -> dict:
    def tower(width):
        return dict(hidden_size=width, intermediate_size=4 * width, hidden_act=act, num_hidden_layers=LAYERS,
                    num_attention_heads=width // 64, projection_dim=DIM)

    config = transformers.CLIPConfig(text_config=tower(WIDTHS["text"]) | dict(eos_token_id=49407),
                                     vision_config=tower(WIDTHS["picture"]) | dict(image_size=SIDE, patch_size=PATCH),
                                     projection_dim=DIM)
    model = transformers.CLIPModel(config)
    shapes = filled(model)
    tokens = [49406, *openai().encode(TEXT), 49407]

    def vector(found):
        return found if torch.is_tensor(found) else found.pooler_output

    found = expected(lambda tokens: vector(model.get_text_features(tokens)),
                     lambda pixels: vector(model.get_image_features(pixels)), tokens, 77, look)
    return dict(config=json.loads(config.to_json_string()), shapes=shapes) | found


def archive() -> dict:
    """A TorchScript archive with the integers that OpenAI's have; of few tokens, single letters, to be small."""
    vocabulary, context, text = 514, 12, "a b c"
    model, _ = plain(vocabulary, context, True, widths=dict(text=64, picture=64), layers=1)
    filled(model)
    for name, size in (("input_resolution", SIDE), ("context_length", context), ("vocab_size", vocabulary)):
        model.__dict__.pop(name, None)
        model.register_buffer(name, torch.tensor(size))
    tokens = [vocabulary - 2, *openai().encode(text), vocabulary - 1]
    model.half().double()
    found = expected(model.encode_text, model.encode_image, tokens, context, look)
    model.half()
    inputs = dict(encode_text=torch.zeros(1, context, dtype=torch.int32), encode_image=torch.zeros(1, 3, SIDE, SIDE).half())
    torch.jit.trace_module(model, inputs, check_trace=False).save(HERE / "openai.pt")
    (HERE / "openai.pt").chmod(0o644)
    print("openai.pt", (HERE / "openai.pt").stat().st_size)
    return found


def squares() -> dict[str, np.ndarray]:
    """The squares that CLIP looks at, in 8 bits."""
    resize = image_transform(SIDE, is_train=False).transforms[:2]
    found = {}
    for size in PICTURES:
        image = picture(*size)
        for transform in resize:
            image = transform(image)
        found[f"{size[0]}x{size[1]}"] = np.asarray(image)
    return found


def main() -> None:
    files = dict(
        transformers_quick_gelu=with_transformers("quick_gelu"),
        transformers_gelu=with_transformers("gelu"),
        open_clip=with_open_clip(False, False),
        open_clip_quick_gelu=with_open_clip(False, True),
        open_clip_custom_text=with_open_clip(True, False),
        archive=archive(),
    )
    golden = dict(text=TEXT, sizes=PICTURES[:3], files=files)
    save_file(squares(), HERE / "squares.safetensors")
    (HERE / "squares.safetensors").chmod(0o644)
    (HERE / "files.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print("files.json", (HERE / "files.json").stat().st_size)


if __name__ == "__main__":
    main()
