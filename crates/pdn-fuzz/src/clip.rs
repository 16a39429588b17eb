//! CLIP tensors in the naming of OpenAI, open_clip and Hugging Face transformers, with small sizes.

use crate::dice::Dice;
use crate::pickle::Named;
use pdn_network::zoo::{Clip, PictureTower, Reading, TextTower, Transformer};

/// Where our names differ from transformers'; the first match wins.
const TRANSFORMERS: [(&str, &str); 16] = [
    ("visual.transformer.resblocks.", "vision_model.encoder.layers."),
    ("transformer.resblocks.", "text_model.encoder.layers."),
    (".ln_1.", ".layer_norm1."),
    (".ln_2.", ".layer_norm2."),
    (".attn.", ".self_attn."),
    (".mlp.c_fc.", ".mlp.fc1."),
    (".mlp.c_proj.", ".mlp.fc2."),
    ("token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
    ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    ("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"),
    ("visual.class_embedding", "vision_model.embeddings.class_embedding"),
    ("visual.ln_pre.", "vision_model.pre_layrnorm."),
    ("visual.ln_post.", "vision_model.post_layernorm."),
    ("visual.proj.weight", "visual_projection.weight"),
    ("ln_final.", "text_model.final_layer_norm."),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
];

/// Makes the tensors of both towers in one of the layouts.
pub(crate) fn named(dice: &mut Dice) -> Option<Vec<Named>> {
    let clip = clip(dice);
    let params = clip.text_network().ok()?.params.into_iter().chain(clip.picture_network().ok()?.params);
    let layout = dice.byte() % 3;
    let mut all = Vec::new();
    for param in params {
        let shape = match *param.shape {
            [width, inputs, 1, 1] if param.name == "visual.conv1.weight" => {
                let patch = (inputs / 3).isqrt();
                vec![width, 3, patch, patch]
            }
            [out, inputs, 1, 1] => vec![out, inputs],
            _ => param.shape.clone(),
        };
        match layout {
            2 if param.name.contains(".in_proj.") => {
                let parts = ["q_proj.", "k_proj.", "v_proj."];
                let part =
                    shape.iter().enumerate().map(|(i, side)| if i == 0 { side / 3 } else { *side }).collect::<Vec<_>>();
                let name = |to: &str| theirs(&param.name.replace("in_proj.", to));
                all.extend(parts.map(|to| Named { name: name(to), shape: part.clone() }));
            }
            2 => all.push(Named { name: theirs(&param.name), shape }),
            layout => {
                let bare = ["text_projection.weight", "visual.proj.weight"].contains(&param.name.as_str());
                let name = if bare { param.name.trim_end_matches(".weight") } else { &param.name };
                let name = name.replace("in_proj.", "in_proj_");
                let text = if layout == 1 && !name.starts_with("visual.") { "text." } else { "" };
                let shape = if bare { shape.into_iter().rev().collect() } else { shape };
                all.push(Named { name: format!("{text}{name}"), shape });
            }
        }
    }
    Some(all)
}

fn theirs(ours: &str) -> String {
    let fits = |(from, _): &&(&str, &str)| ours.contains(from);
    // The first match of a whole name, then of a part of one.
    TRANSFORMERS.iter().filter(fits).fold(ours.to_owned(), |name, (from, to)| match name.starts_with("text_model.") {
        true if !from.starts_with('.') => name,
        _ => name.replacen(from, to, 1),
    })
}

fn clip(dice: &mut Dice) -> Clip {
    let blocks = |dice: &mut Dice| {
        let heads = dice.of(&[1, 1, 2, 3]);
        // Without a setting, one head per 64 channels is assumed; such towers are large.
        let width = if dice.once_in(16) { 64 } else { heads * dice.of(&[1, 2, 4]) };
        Transformer { width, heads: if width == 64 { 1 } else { heads }, layers: dice.below(3), quick_gelu: true }
    };
    let vocabulary = dice.of(&[514, 3, 600]);
    let text = TextTower { vocabulary, context: 3 + dice.below(8), blocks: blocks(dice), reading: Reading::End };
    let (patch, patches) = (dice.of(&[1, 2, 4]), dice.of(&[1, 2, 3]));
    Clip {
        dim: 1 + dice.below(4),
        text,
        picture: PictureTower::Vit { side: patch * patches, patch, blocks: blocks(dice) },
    }
}
