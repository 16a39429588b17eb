"""Makes `clip/*.safetensors`: what the towers of CLIP give in float64 on hashed weights, by two independent
implementations, transformers and open_clip: OpenAI's three sizes at their full size, and a small one with the true GELU.

    venv/bin/pip install -r requirements-clip.txt && venv/bin/python clip.py [NAME ...]
"""

import json
import sys
from pathlib import Path

import numpy as np
import open_clip
import torch
import transformers
from safetensors.numpy import save_file

import hashed

HERE = Path(__file__).parent / "clip"


def value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tower's parameter, as `pdn_network::hashed` makes it."""
    if "positional_embedding" in name:
        return hashed.numbers(name, shape, 3**0.5 * 0.01)
    if "class_embedding" in name or "token_embedding" in name:
        return hashed.numbers(name, shape, 3**0.5 * 0.02)
    if ".ln_" in f".{name}" and name.endswith("weight"):
        return np.ones(shape, np.float32)
    if name.endswith("weight"):
        return hashed.numbers(name, shape, (3.0 / float(np.prod(shape[1:]))) ** 0.5)
    return hashed.numbers(name, shape, 0.1)


def block(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
    linear = {"attn.in_proj": (3 * width, width), "attn.out_proj": (width, width)}
    linear |= {"mlp.c_fc": (4 * width, width), "mlp.c_proj": (width, 4 * width)}
    shapes = {}
    for name, shape in linear.items():
        shapes |= {f"{prefix}.{name}.weight": shape, f"{prefix}.{name}.bias": shape[:1]}
    for name in ("ln_1", "ln_2"):
        shapes |= {f"{prefix}.{name}.weight": (width,), f"{prefix}.{name}.bias": (width,)}
    return shapes


def parameters(config: dict) -> dict[str, np.ndarray]:
    """Every parameter under our name; a linear layer as [out, in]."""
    text, vit, dim = config["text"], config["picture"]["vit"], config["dim"]
    width, layers = text["blocks"]["width"], text["blocks"]["layers"]
    shapes = {
        "token_embedding.weight": (text["vocabulary"], width),
        "positional_embedding": (text["context"], width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
        "text_projection.weight": (dim, width),
    }
    for i in range(layers):
        shapes |= block(f"transformer.resblocks.{i}", width)
    width, layers = vit["blocks"]["width"], vit["blocks"]["layers"]
    patches = (vit["side"] // vit["patch"]) ** 2
    shapes |= {
        "visual.conv1.weight": (width, 3 * vit["patch"] ** 2),
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (patches + 1, width),
        "visual.ln_pre.weight": (width,),
        "visual.ln_pre.bias": (width,),
        "visual.ln_post.weight": (width,),
        "visual.ln_post.bias": (width,),
        "visual.proj.weight": (dim, width),
    }
    for i in range(layers):
        shapes |= block(f"visual.transformer.resblocks.{i}", width)
    return {name: value(name, shape) for name, shape in shapes.items()}


def open_clip_key(name: str) -> str:
    for bare in ("in_proj.weight", "in_proj.bias"):
        name = name.replace(bare, bare.replace(".", "_"))
    return {"text_projection.weight": "text_projection", "visual.proj.weight": "visual.proj"}.get(name, name)


def with_open_clip(config: dict):
    text, vit = config["text"], config["picture"]["vit"]
    model = open_clip.model.CLIP(
        config["dim"],
        dict(layers=vit["blocks"]["layers"], width=vit["blocks"]["width"], patch_size=vit["patch"],
             image_size=vit["side"], head_width=vit["blocks"]["width"] // vit["blocks"]["heads"]),
        dict(context_length=text["context"], vocab_size=text["vocabulary"], width=text["blocks"]["width"],
             heads=text["blocks"]["heads"], layers=text["blocks"]["layers"]),
        quick_gelu=text["blocks"]["quick_gelu"],
    )
    own = model.state_dict()
    for name, array in parameters(config).items():
        key = open_clip_key(name)
        array = array.T if key in ("text_projection", "visual.proj") else array
        own[key] = torch.from_numpy(np.ascontiguousarray(array)).reshape(own[key].shape)
    model.load_state_dict(own)
    model.double().eval()
    return model.encode_text, model.encode_image


def transformers_tensors(ours: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    fixed = {
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "text_projection.weight": "text_projection.weight",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.proj.weight": "visual_projection.weight",
    }
    norms = {"ln_final": "text_model.final_layer_norm", "visual.ln_pre": "vision_model.pre_layrnorm",
             "visual.ln_post": "vision_model.post_layernorm"}
    inside = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj",
              "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    theirs = {}
    for name, array in ours.items():
        stem, _, kind = name.rpartition(".")
        if name in fixed:
            theirs[fixed[name]] = array
        elif stem in norms:
            theirs[f"{norms[stem]}.{kind}"] = array
        else:
            tower = "vision_model" if name.startswith("visual.") else "text_model"
            index, _, layer = name.split("resblocks.")[1].partition(".")
            layer = layer.rpartition(".")[0]
            prefix = f"{tower}.encoder.layers.{index}"
            if layer == "attn.in_proj":
                for part, piece in zip("qkv", np.split(array, 3)):
                    theirs[f"{prefix}.self_attn.{part}_proj.{kind}"] = piece
            else:
                theirs[f"{prefix}.{inside[layer]}.{kind}"] = array
    return theirs


def with_transformers(config: dict):
    text, vit = config["text"], config["picture"]["vit"]

    def tower(blocks):
        act = "quick_gelu" if blocks["quick_gelu"] else "gelu"
        return dict(hidden_size=blocks["width"], intermediate_size=4 * blocks["width"], hidden_act=act,
                    num_hidden_layers=blocks["layers"], num_attention_heads=blocks["heads"],
                    projection_dim=config["dim"])

    model = transformers.CLIPModel(transformers.CLIPConfig(
        text_config=tower(text["blocks"]) | dict(vocab_size=text["vocabulary"], eos_token_id=text["vocabulary"] - 1,
                                                 max_position_embeddings=text["context"]),
        vision_config=tower(vit["blocks"]) | dict(image_size=vit["side"], patch_size=vit["patch"]),
        projection_dim=config["dim"],
    ))
    own = model.state_dict()
    for key, array in transformers_tensors(parameters(config)).items():
        own[key] = torch.from_numpy(array).reshape(own[key].shape)
    model.load_state_dict(own)
    model.double().eval()

    def vector(found):
        return found if torch.is_tensor(found) else found.pooler_output

    return (lambda tokens: vector(model.get_text_features(tokens)),
            lambda picture: vector(model.get_image_features(picture)))


def make(name: str, config: dict, build) -> None:
    encode_text, encode_picture = build(config)
    vocabulary, context = config["text"]["vocabulary"], config["text"]["context"]
    sentence = [vocabulary - 2, 17, 300 % vocabulary, 42, 5, 77, vocabulary - 1]
    tokens = torch.tensor([sentence + [0] * (context - len(sentence))])
    side = config["picture"]["vit"]["side"]
    picture = torch.from_numpy(hashed.numbers("picture", (1, 3, side, side), 2.0)).double()
    with torch.no_grad():
        tensors = {"text": encode_text(tokens)[0], "picture": encode_picture(picture)[0]}
    tensors = {key: tensor.numpy().astype(np.float32) for key, tensor in tensors.items()}
    metadata = {"clip": json.dumps(config), "tokens": json.dumps(sentence)}
    HERE.mkdir(exist_ok=True)
    save_file(tensors, HERE / f"{name}.safetensors", metadata)
    (HERE / f"{name}.safetensors").chmod(0o644)
    print(name, {key: (tensor.shape, float(tensor.std())) for key, tensor in tensors.items()})


def blocks(width: int, heads: int, layers: int, quick_gelu: bool) -> dict:
    return dict(width=width, heads=heads, layers=layers, quick_gelu=quick_gelu)


def vit(dim: int, patch: int, text: tuple[int, int], picture: tuple[int, int]) -> dict:
    """A size of OpenAI's: of each tower its channels and blocks."""
    return dict(
        dim=dim,
        text=dict(vocabulary=49408, context=77, blocks=blocks(text[0], text[0] // 64, text[1], True)),
        picture=dict(vit=dict(side=224, patch=patch, blocks=blocks(picture[0], picture[0] // 64, picture[1], True))),
    )


SIZES = {
    "vit_b_32": vit(512, 32, (512, 12), (768, 12)),
    "vit_b_16": vit(512, 16, (512, 12), (768, 12)),
    "vit_l_14": vit(768, 14, (768, 12), (1024, 24)),
    "small": dict(
        dim=48,
        text=dict(vocabulary=600, context=20, blocks=blocks(64, 4, 3, False)),
        picture=dict(vit=dict(side=48, patch=8, blocks=blocks(96, 3, 4, False))),
    ),
}


def main() -> None:
    for name in sys.argv[1:] or SIZES:
        for package, build in (("transformers", with_transformers), ("open_clip", with_open_clip)):
            make(f"{name}_{package}", SIZES[name], build)


if __name__ == "__main__":
    main()
