//! CLIP weights from files of OpenAI, open_clip and Hugging Face transformers.
//!
//! Sizes follow from the tensors' shapes ([`ClipLayout`]). No tensor tells which GELU is meant: OpenAI's TorchScript
//! archives use quick GELU, Hugging Face states it in `config.json` and open_clip in `open_clip_config.json` beside the
//! weights. Without any of these, the caller must say.

use crate::encoder::error::EncoderError;
use crate::encoder::file::EncoderFile;
use crate::encoder::framing::Framing;
use pdn_network::checkpoint::{Checkpoint, Kind};
use pdn_network::zoo::{Clip, ClipLayout, ClipSettings, PictureTower};
use pdn_network::{Card, file};
use serde::Deserialize;
use std::path::Path;
use std::str::FromStr;

/// CLIP's mean colour and its standard deviation (`clip/clip.py`).
const MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const DEVIATION: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// The activation of an encoder's towers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x σ(1.702 x)`: OpenAI's weights and those fine-tuned from them.
    QuickGelu,
    /// `x Φ(x)`: most others.
    Gelu,
}

impl FromStr for Activation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "quick-gelu" | "quick_gelu" => Ok(Self::QuickGelu),
            "gelu" => Ok(Self::Gelu),
            _ => Err(format!("unknown activation `{name}`: expected quick-gelu or gelu")),
        }
    }
}

/// What the configuration beside or inside the weights says.
struct Described {
    /// Settings of the text tower and of the picture tower.
    settings: [ClipSettings; 2],
    mean: [f64; 3],
    deviation: [f64; 3],
}

impl Described {
    fn plain(settings: [ClipSettings; 2]) -> Self {
        Self { settings, mean: MEAN, deviation: DEVIATION }
    }
}

/// Reads an encoder from another project's file. `activation`, if given, overrides what the files say.
pub(crate) fn read(
    path: &Path,
    checkpoint: Checkpoint,
    activation: Option<Activation>,
) -> Result<EncoderFile, EncoderError> {
    let wrong = |why: String| EncoderError::File { path: path.to_owned(), why };
    let Some(layout) = ClipLayout::find(&checkpoint.tensors) else {
        let first: Vec<&str> = checkpoint.tensors.keys().take(3).map(String::as_str).collect();
        return Err(wrong(format!(
            "is not an encoder: expected a file with `pdn.encoder` in its metadata, or CLIP's weights by OpenAI, open_clip or \
             Hugging Face transformers; its tensors begin {}",
            first.join(", ")
        )));
    };
    let mut described = match beside(path, layout)? {
        Some(described) => described,
        None if checkpoint.kind == Kind::TorchScript => Described::plain(both(true, [None; 2])),
        None if activation.is_some() => Described::plain(both(false, [None; 2])),
        None => return Err(EncoderError::Activation { path: path.to_owned(), layout }),
    };
    if let Some(activation) = activation {
        described.settings.iter_mut().for_each(|tower| tower.quick_gelu = activation == Activation::QuickGelu);
    }
    let (clip, tensors) = layout
        .read(checkpoint.tensors, described.settings)
        .map_err(|error| wrong(format!("looks like CLIP in the layout of {}, but {error}", layout)))?;
    let card = Card {
        name: name(&clip),
        description: format!("CLIP's weights in the layout of {}", layout),
        ..Card::default()
    };
    let Described { mean, deviation, .. } = described;
    Ok(EncoderFile { clip, mean, deviation, framing: Framing::CentreCrop, faults: None, card, tensors })
}

/// Returns open_clip's name for these sizes. It includes the activation, which changes every embedding.
fn name(clip: &Clip) -> String {
    let PictureTower::Vit { patch, blocks, .. } = &clip.picture else { return "clip".into() };
    let size = match (blocks.width, blocks.layers) {
        (768, 12) => "b".into(),
        (1024, 24) => "l".into(),
        (1280, 32) => "h".into(),
        (width, layers) => format!("{width}x{layers}"),
    };
    let side = if clip.side() == 224 { String::new() } else { format!("-{}", clip.side()) };
    let quick = if blocks.quick_gelu { "-quickgelu" } else { "" };
    format!("clip-vit-{size}-{patch}{side}{quick}")
}

fn both(quick_gelu: bool, heads: [Option<usize>; 2]) -> [ClipSettings; 2] {
    heads.map(|heads| ClipSettings { quick_gelu, heads })
}

/// The most bytes of a configuration.
const MOST_CONFIGURATION: u64 = 1 << 20;

/// Reads the configuration beside the weights, if the layout's project writes one and it is there.
fn beside(path: &Path, layout: ClipLayout) -> Result<Option<Described>, EncoderError> {
    let config = path.with_file_name(layout.config());
    let wrong = |why: String| EncoderError::File { path: config.clone(), why };
    let bytes = match file::read(&config, MOST_CONFIGURATION) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
    };
    let unread = |error: serde_json::Error| wrong(format!("is not a CLIP configuration: {error}"));
    let described = match layout {
        ClipLayout::Transformers => {
            serde_json::from_slice::<TransformersConfig>(&bytes).map_err(unread)?.described().map_err(wrong)?
        }
        ClipLayout::OpenAi | ClipLayout::CustomText => {
            serde_json::from_slice::<OpenClipConfig>(&bytes).map_err(unread)?.described().map_err(wrong)?
        }
    };
    Ok(Some(described))
}

/// The parts of Hugging Face transformers' `config.json` that matter; missing values take `CLIPConfig`'s defaults.
#[derive(Deserialize)]
struct TransformersConfig {
    model_type: String,
    #[serde(default)]
    text_config: TransformersTower,
    #[serde(default)]
    vision_config: TransformersTower,
}

#[derive(Default, Deserialize)]
struct TransformersTower {
    hidden_act: Option<String>,
    num_attention_heads: Option<usize>,
    layer_norm_eps: Option<f64>,
}

impl TransformersConfig {
    fn described(self) -> Result<Described, String> {
        if self.model_type != "clip" {
            return Err(format!("has model_type `{}`, expected `clip`", self.model_type));
        }
        let tower = |tower: TransformersTower| {
            if let Some(eps) = tower.layer_norm_eps.filter(|eps| *eps != 1e-5) {
                return Err(format!("has layer_norm_eps {eps}, expected 1e-5"));
            }
            let activation = tower.hidden_act.as_deref().unwrap_or("quick_gelu").parse::<Activation>()?;
            let quick_gelu = activation == Activation::QuickGelu;
            Ok(ClipSettings { quick_gelu, heads: tower.num_attention_heads })
        };
        Ok(Described::plain([tower(self.text_config)?, tower(self.vision_config)?]))
    }
}

/// The parts of `open_clip_config.json` that matter; without `quick_gelu`, open_clip uses exact GELU.
#[derive(Deserialize)]
struct OpenClipConfig {
    model_cfg: OpenClipModel,
    #[serde(default)]
    preprocess_cfg: OpenClipPictures,
}

#[derive(Deserialize)]
struct OpenClipModel {
    #[serde(default)]
    quick_gelu: bool,
    vision_cfg: OpenClipTower,
    text_cfg: OpenClipTower,
}

#[derive(Deserialize)]
struct OpenClipTower {
    width: Option<usize>,
    heads: Option<usize>,
    head_width: Option<usize>,
}

#[derive(Default, Deserialize)]
struct OpenClipPictures {
    mean: Option<[f64; 3]>,
    std: Option<[f64; 3]>,
    interpolation: Option<String>,
    resize_mode: Option<String>,
}

impl OpenClipConfig {
    fn described(self) -> Result<Described, String> {
        let OpenClipPictures { mean, std, interpolation, resize_mode } = self.preprocess_cfg;
        for (what, found, expected) in
            [("interpolation", interpolation, "bicubic"), ("resize_mode", resize_mode, "shortest")]
        {
            if let Some(found) = found.filter(|found| found != expected) {
                return Err(format!("has {what} `{found}`, expected `{expected}`"));
            }
        }
        let heads = |tower: OpenClipTower| {
            let by_width = || tower.width?.checked_div(tower.head_width?);
            tower.heads.or_else(by_width)
        };
        let OpenClipModel { quick_gelu, vision_cfg, text_cfg } = self.model_cfg;
        let settings = both(quick_gelu, [heads(text_cfg), heads(vision_cfg)]);
        Ok(Described { settings, mean: mean.unwrap_or(MEAN), deviation: std.unwrap_or(DEVIATION) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_say_the_activation() {
        let transformers = |json: &str| serde_json::from_str::<TransformersConfig>(json).unwrap().described();
        let towers =
            transformers(r#"{"model_type": "clip", "text_config": {"hidden_act": "gelu"}, "vision_config": {}}"#);
        assert_eq!(towers.unwrap().settings.map(|tower| tower.quick_gelu), [false, true]);
        for (json, word) in [
            (r#"{"model_type": "siglip"}"#, "siglip"),
            (r#"{"model_type": "clip", "text_config": {"hidden_act": "relu"}}"#, "relu"),
            (r#"{"model_type": "clip", "vision_config": {"layer_norm_eps": 1e-6}}"#, "layer_norm_eps"),
        ] {
            assert!(transformers(json).is_err_and(|why| why.contains(word)), "{json}");
        }
        let open_clip = |json: &str| serde_json::from_str::<OpenClipConfig>(json).unwrap().described();
        let said = r#"{"model_cfg": {"quick_gelu": true, "vision_cfg": {"width": 1280, "head_width": 80},
            "text_cfg": {"width": 1024, "heads": 16}}, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}"#;
        let described = open_clip(said).unwrap();
        assert_eq!(described.settings, both(true, [Some(16), Some(16)]));
        assert_eq!((described.mean, described.deviation), ([0.5; 3], DEVIATION));
        let unsaid = open_clip(r#"{"model_cfg": {"vision_cfg": {}, "text_cfg": {}}}"#).unwrap();
        assert_eq!(unsaid.settings, both(false, [None; 2]));
        let squash =
            r#"{"model_cfg": {"vision_cfg": {}, "text_cfg": {}}, "preprocess_cfg": {"resize_mode": "squash"}}"#;
        assert!(open_clip(squash).is_err_and(|why| why.contains("squash")));
    }

    #[test]
    fn names_are_those_of_the_sizes() {
        assert_eq!(name(&Clip::vit_b_32()), "clip-vit-b-32-quickgelu");
        assert_eq!(name(&Clip::vit_l_14()), "clip-vit-l-14-quickgelu");
    }
}
