//! Other projects' names for CLIP's weights.
//!
//! | | openai/CLIP, open_clip | Hugging Face transformers |
//! |---|---|---|
//! | a block | `transformer.resblocks.0` | `text_model.encoder.layers.0` |
//! | queries, keys, values | `attn.in_proj_weight`, stacked | `self_attn.q_proj.weight` and so on |
//! | projections | `text_projection`, `visual.proj`, `[in, out]` | `text_projection.weight`, `visual_projection.weight` |
//!
//! open_clip's models with a separate text tower prefix that tower's names with `text.`. The shapes give the sizes.
//! [`ClipSettings`] holds what no tensor tells: it must come from elsewhere, because with the wrong GELU the vectors
//! still look right.

use super::towers::{Clip, PictureTower, Reading, TextTower, Transformer};
use crate::{NetworkError, Param, Tensor, Tensors, WeightFaults};

/// A project's scheme for naming and storing CLIP's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipLayout {
    /// The scheme of openai/CLIP, and of open_clip's plain models.
    OpenAi,
    /// The scheme of open_clip's models with a separate text tower.
    CustomText,
    /// The scheme of Hugging Face transformers.
    Transformers,
}

/// The settings of a tower that its tensors do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipSettings {
    /// Whether the activation is the quick GELU.
    pub quick_gelu: bool,
    /// The number of attention heads; by default one per 64 channels.
    pub heads: Option<usize>,
}

/// Channels per attention head in all of OpenAI's CLIP models.
const HEAD: usize = 64;

/// Tensors that are not parameters of the towers.
const IGNORED: [&str; 7] = [
    "logit_scale",
    "logit_bias",
    "input_resolution",
    "context_length",
    "vocab_size",
    "text_model.embeddings.position_ids",
    "vision_model.embeddings.position_ids",
];

impl ClipLayout {
    /// Detects the layout; returns `None` if the tensors are not a CLIP model's.
    pub fn find(tensors: &Tensors) -> Option<Self> {
        let marks = [
            (Self::Transformers, ["text_model.", "vision_model."]),
            (Self::CustomText, ["text.", "visual."]),
            (Self::OpenAi, ["token_embedding.", "visual."]),
        ];
        let has = |prefix: &str| tensors.keys().any(|key| key.starts_with(prefix));
        marks.into_iter().find(|(_, marks)| marks.iter().all(|mark| has(mark))).map(|(layout, _)| layout)
    }

    /// Returns the file beside the weights that names the project's activation.
    pub fn config(self) -> &'static str {
        match self {
            Self::OpenAi | Self::CustomText => "open_clip_config.json",
            Self::Transformers => "config.json",
        }
    }

    /// Reads both towers, and their tensors under our names and in our shapes; the settings are the text tower's and
    /// the picture tower's.
    ///
    /// # Errors
    /// Returns a [`NetworkError`] in the file's own names: [`NetworkError::Weights`] lists what is missing, misshapen
    /// or unknown.
    pub fn read(self, mut tensors: Tensors, settings: [ClipSettings; 2]) -> Result<(Clip, Tensors), NetworkError> {
        // The causal mask is a constant, which TorchScript keeps in any of its modules.
        let ignored = |key: &str| IGNORED.contains(&key) || key.rsplit('.').next() == Some("attn_mask");
        tensors.retain(|key, _| !ignored(key.strip_prefix("text.").unwrap_or(key)));
        let clip = self.infer(&tensors, settings)?;
        let (mut ours, mut faults) = (Tensors::new(), WeightFaults::default());
        for param in clip.text_network()?.params.into_iter().chain(clip.picture_network()?.params) {
            let tensor = self.sources(&param, &clip).take(&mut tensors, &mut faults, &param.shape);
            ours.extend(tensor.map(|tensor| (param.name, tensor)));
        }
        faults.unexpected = tensors.into_keys().collect();
        match faults.count() {
            0 => Ok((clip, ours)),
            _ => Err(NetworkError::Weights(Box::new(faults))),
        }
    }

    /// Infers the sizes from the shapes.
    fn infer(self, tensors: &Tensors, settings: [ClipSettings; 2]) -> Result<Clip, NetworkError> {
        if tensors.keys().any(|key| key.starts_with("visual.layer1.") || key.starts_with("visual.trunk.")) {
            let why = "its picture tower is not a CLIP vision transformer; supported are ViT-B/32, ViT-B/16, \
                       ViT-L/14 and the like";
            return Err(NetworkError::Config(why.into()));
        }
        let shape = |ours: &str, expected: &str| {
            let key = self.key(ours);
            let found = tensors.get(&key).map(Tensor::shape);
            found
                .ok_or_else(|| NetworkError::Config(format!("{key} is missing: expected {expected}")))
                .map(|s| (key, s))
        };
        let pair = |ours: &str, expected: &str| match shape(ours, expected)? {
            (_, &[a, b]) => Ok((a, b)),
            (key, found) => Err(NetworkError::Config(format!("{key} is {found:?}, expected {expected}"))),
        };
        let (vocabulary, text_width) = pair("token_embedding.weight", "[vocabulary, width]")?;
        let (context, _) = pair("positional_embedding", "[context, width]")?;
        let projection = pair("text_projection.weight", "a projection of two sides")?;
        let dim = if self == Self::Transformers { projection.0 } else { projection.1 };
        let (width, patch) = match shape("visual.conv1.weight", "[width, 3, patch, patch]")? {
            (_, &[width, 3, patch, other]) if patch == other && patch > 0 => (width, patch),
            (key, found) => {
                let why = format!("{key} is {found:?}, expected [width, 3, patch, patch]");
                return Err(NetworkError::Config(why));
            }
        };
        let (places, _) = pair("visual.positional_embedding", "[patches + 1, width]")?;
        let patches = places.saturating_sub(1).isqrt();
        if patches * patches + 1 != places || patches == 0 {
            let key = self.key("visual.positional_embedding");
            return Err(NetworkError::Config(format!("{key} has {places} rows, expected a square number and one")));
        }
        let layers = |tower: &str| self.layers(tensors, tower);
        let [text, picture] = settings;
        let blocks = text.blocks(text_width, layers("transformer"))?;
        let text = TextTower { vocabulary, context, blocks, reading: Reading::End };
        let blocks = picture.blocks(width, layers("visual.transformer"))?;
        let side = patches.checked_mul(patch).ok_or_else(|| NetworkError::Config(format!("patch {patch}")))?;
        Ok(Clip { dim, text, picture: PictureTower::Vit { side, patch, blocks } })
    }

    /// Returns one more than the last block that a tensor names, so that a missing block is reported by name.
    fn layers(self, tensors: &Tensors, tower: &str) -> usize {
        let prefix = self.blocks(tower);
        let number = |key: &String| key.strip_prefix(&prefix)?.split('.').next()?.parse::<usize>().ok();
        // The network rejects more blocks than any tower has.
        tensors.keys().filter_map(number).max().map_or(0, |last| last.saturating_add(1))
    }

    /// Returns the prefix of the names of a tower's blocks.
    fn blocks(self, tower: &str) -> String {
        match (self, tower) {
            (Self::Transformers, "transformer") => "text_model.encoder.layers.".into(),
            (Self::Transformers, _) => "vision_model.encoder.layers.".into(),
            (Self::CustomText, "transformer") => "text.transformer.resblocks.".into(),
            _ => format!("{tower}.resblocks."),
        }
    }

    /// Returns the layout's name for one of our parameters; for queries, keys and values stored separately, their
    /// common prefix.
    fn key(self, ours: &str) -> String {
        if let Some((tower, rest)) = ours.split_once(".resblocks.") {
            let rest = if self == Self::Transformers { transformers_block(rest) } else { openai_block(rest) };
            return self.blocks(tower) + &rest;
        }
        match self {
            Self::Transformers => transformers_key(ours).into(),
            Self::CustomText if !ours.starts_with("visual.") => format!("text.{}", openai_key(ours)),
            Self::OpenAi | Self::CustomText => openai_key(ours).into(),
        }
    }

    /// Returns the tensors that a parameter comes from.
    fn sources(self, param: &Param, clip: &Clip) -> Sources {
        let key = self.key(&param.name);
        let patch = match clip.picture {
            PictureTower::Vit { patch, .. } if param.name == "visual.conv1.weight" => Some(patch),
            _ => None,
        };
        // A projection that is not a layer there is a bare tensor, which is multiplied by a row vector from the left.
        let transposed = param.shape.len() == 4 && !key.ends_with("weight");
        let shape = match (&*param.shape, patch) {
            ([width, ..], Some(patch)) => vec![*width, 3, patch, patch],
            ([out, inputs, 1, 1], _) if transposed => vec![*inputs, *out],
            ([out, inputs, 1, 1], _) => vec![*out, *inputs],
            (same, _) => same.to_vec(),
        };
        if self == Self::Transformers && param.name.contains(".attn.in_proj.") {
            let (shared, kind) = key.rsplit_once('.').unwrap_or_default();
            let keys =
                ["q", "k", "v"].map(|part| format!("{}.{part}_proj.{kind}", shared.trim_end_matches(".in_proj")));
            let shape = shape.iter().enumerate().map(|(i, n)| if i == 0 { n / 3 } else { *n }).collect();
            return Sources { keys: keys.into(), shape, transposed };
        }
        Sources { keys: vec![key], shape, transposed }
    }
}

impl std::fmt::Display for ClipLayout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OpenAi => "openai/CLIP and open_clip",
            Self::CustomText => "open_clip with a text tower of its own",
            Self::Transformers => "Hugging Face transformers",
        })
    }
}

impl ClipSettings {
    fn blocks(self, width: usize, layers: usize) -> Result<Transformer, NetworkError> {
        let heads = match self.heads {
            Some(heads) => heads,
            None if width.is_multiple_of(HEAD) => width / HEAD,
            None => {
                let why =
                    format!("a tower of {width} channels: expected a multiple of {HEAD}, one head for each {HEAD}");
                return Err(NetworkError::Config(why));
            }
        };
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(NetworkError::Config(format!("{heads} heads for {width} channels: expected a divisor")));
        }
        Ok(Transformer { width, heads, layers, quick_gelu: self.quick_gelu })
    }
}

/// The tensors of a file that form one parameter when concatenated.
struct Sources {
    keys: Vec<String>,
    /// The shape of each.
    shape: Vec<usize>,
    /// Whether they are stored transposed.
    transposed: bool,
}

impl Sources {
    /// Takes the tensors out of the file's, or records what is wrong with them.
    fn take(self, tensors: &mut Tensors, faults: &mut WeightFaults, ours: &[usize]) -> Option<Tensor> {
        let before = faults.count();
        let mut data = Vec::new();
        for key in self.keys {
            match tensors.remove(&key) {
                None => faults.missing.push(key),
                Some(t) if t.shape() != self.shape => {
                    faults.misshapen.push(format!("{key} is {:?}, expected {:?}", t.shape(), self.shape));
                }
                Some(t) if t.data().iter().any(|v| !v.is_finite()) => faults.not_finite.push(key),
                Some(t) if data.is_empty() => data = t.into_data(),
                Some(t) => data.extend_from_slice(t.data()),
            }
        }
        if faults.count() > before {
            return None;
        }
        if let ([rows, columns], true) = (&*self.shape, self.transposed) {
            data = (0..*columns)
                .flat_map(|c| (0..*rows).map(move |r| (r, c)))
                .map(|(r, c)| data[r * columns + c])
                .collect();
        }
        Some(Tensor::new(ours.to_vec(), data))
    }
}

fn openai_block(rest: &str) -> String {
    rest.replace("attn.in_proj.", "attn.in_proj_")
}

fn openai_key(ours: &str) -> &str {
    match ours {
        "text_projection.weight" => "text_projection",
        "visual.proj.weight" => "visual.proj",
        same => same,
    }
}

fn transformers_block(rest: &str) -> String {
    let pairs = [
        (".ln_1.", ".layer_norm1."),
        (".ln_2.", ".layer_norm2."),
        (".attn.", ".self_attn."),
        (".mlp.c_fc.", ".mlp.fc1."),
        (".mlp.c_proj.", ".mlp.fc2."),
    ];
    pairs.iter().fold(rest.to_owned(), |rest, (ours, theirs)| rest.replace(ours, theirs))
}

/// The spelling `pre_layrnorm` is theirs.
fn transformers_key(ours: &str) -> &str {
    match ours {
        "token_embedding.weight" => "text_model.embeddings.token_embedding.weight",
        "positional_embedding" => "text_model.embeddings.position_embedding.weight",
        "ln_final.weight" => "text_model.final_layer_norm.weight",
        "ln_final.bias" => "text_model.final_layer_norm.bias",
        "visual.conv1.weight" => "vision_model.embeddings.patch_embedding.weight",
        "visual.class_embedding" => "vision_model.embeddings.class_embedding",
        "visual.positional_embedding" => "vision_model.embeddings.position_embedding.weight",
        "visual.ln_pre.weight" => "vision_model.pre_layrnorm.weight",
        "visual.ln_pre.bias" => "vision_model.pre_layrnorm.bias",
        "visual.ln_post.weight" => "vision_model.post_layernorm.weight",
        "visual.ln_post.bias" => "vision_model.post_layernorm.bias",
        "visual.proj.weight" => "visual_projection.weight",
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashed;

    const LAYOUTS: [ClipLayout; 3] = [ClipLayout::OpenAi, ClipLayout::CustomText, ClipLayout::Transformers];

    fn small() -> Clip {
        let blocks = |width, layers| Transformer { width, heads: width / HEAD, layers, quick_gelu: true };
        let text = TextTower { vocabulary: 600, context: 20, blocks: blocks(64, 2), reading: Reading::End };
        Clip { dim: 48, text, picture: PictureTower::Vit { side: 32, patch: 8, blocks: blocks(128, 3) } }
    }

    fn ours(clip: &Clip) -> Tensors {
        let networks = [clip.text_network().unwrap(), clip.picture_network().unwrap()];
        networks.iter().flat_map(|network| network.name_weights(hashed::weights(network))).collect()
    }

    /// Returns a tower's tensors as a layout stores them, written from its documentation and not with the code above.
    fn stored(layout: ClipLayout, clip: &Clip) -> Tensors {
        let mut file = Tensors::from([("logit_scale".to_owned(), Tensor::new(vec![], vec![4.6]))]);
        for (name, tensor) in ours(clip) {
            let shape = tensor.shape().to_vec();
            let plain = match *shape {
                [width, _, 1, 1] if name == "visual.conv1.weight" => tensor.clone().reshaped(vec![width, 3, 8, 8]),
                [out, inputs, 1, 1] => tensor.clone().reshaped(vec![out, inputs]),
                _ => tensor.clone(),
            };
            let text = !name.starts_with("visual.");
            match layout {
                ClipLayout::Transformers if name.contains("in_proj") => {
                    let number = name.split("resblocks.").nth(1).unwrap().split('.').next().unwrap();
                    let tower = if text { "text_model" } else { "vision_model" };
                    let kind = name.rsplit('.').next().unwrap();
                    let mut shape = plain.shape().to_vec();
                    shape[0] /= 3;
                    let size = plain.data().len() / 3;
                    for (part, piece) in ["q", "k", "v"].iter().zip(plain.data().chunks(size)) {
                        let key = format!("{tower}.encoder.layers.{number}.self_attn.{part}_proj.{kind}");
                        file.insert(key, Tensor::new(shape.clone(), piece.to_vec()));
                    }
                }
                ClipLayout::Transformers => {
                    file.insert(layout.key(&name), plain);
                }
                _ => {
                    let (key, tensor) = match name.as_str() {
                        "text_projection.weight" => ("text_projection".to_owned(), transposed(&plain)),
                        "visual.proj.weight" => ("visual.proj".to_owned(), transposed(&plain)),
                        _ => (name.replace("in_proj.", "in_proj_"), plain),
                    };
                    let prefix = if layout == ClipLayout::CustomText && text { "text." } else { "" };
                    file.insert(format!("{prefix}{key}"), tensor);
                }
            }
        }
        file
    }

    fn transposed(tensor: &Tensor) -> Tensor {
        let &[rows, columns] = tensor.shape() else { panic!("two sides") };
        let data = (0..columns * rows).map(|i| tensor.data()[(i % rows) * columns + i / rows]).collect();
        Tensor::new(vec![columns, rows], data)
    }

    fn settings() -> [ClipSettings; 2] {
        [ClipSettings { quick_gelu: true, heads: None }; 2]
    }

    #[test]
    fn every_layout_is_read_again() {
        let clip = small();
        for layout in LAYOUTS {
            let file = stored(layout, &clip);
            assert_eq!(ClipLayout::find(&file), Some(layout));
            let (read, tensors) = layout.read(file, settings()).unwrap();
            assert!(read == clip && tensors == ours(&clip), "{layout:?}");
        }
    }

    #[test]
    fn published_sizes_are_told_from_shapes() {
        for clip in [Clip::vit_b_32(), Clip::vit_b_16(), Clip::vit_l_14()] {
            // Only shapes matter here, so the large tables hold no numbers.
            let mut file = stored(ClipLayout::OpenAi, &Clip { picture: small().picture, ..small() });
            file.clear();
            let zeros = |shape: &[usize]| Tensor::new(shape.to_vec(), vec![0.0; shape.iter().product()]);
            for network in [clip.text_network().unwrap(), clip.picture_network().unwrap()] {
                for param in network.params {
                    let sources = ClipLayout::OpenAi.sources(&param, &clip);
                    file.extend(sources.keys.into_iter().map(|key| (key, zeros(&sources.shape))));
                }
            }
            assert_eq!(ClipLayout::OpenAi.infer(&file, settings()), Ok(clip));
        }
    }

    #[test]
    fn faults_are_told_in_the_file_s_names() {
        for (layout, key) in [
            (ClipLayout::OpenAi, "visual.transformer.resblocks.1.attn.in_proj_weight"),
            (ClipLayout::CustomText, "text.transformer.resblocks.1.mlp.c_fc.bias"),
            (ClipLayout::Transformers, "vision_model.encoder.layers.1.self_attn.k_proj.weight"),
        ] {
            let fault = |change: &dyn Fn(&mut Tensors)| {
                let mut file = stored(layout, &small());
                assert!(file.contains_key(key), "{key}");
                change(&mut file);
                layout.read(file, settings()).unwrap_err().to_string()
            };
            let missing = fault(&|file| drop(file.remove(key)));
            assert!(missing.contains(key) && missing.contains("missing"), "{missing}");
            let misshapen = fault(&|file| drop(file.insert(key.into(), Tensor::new(vec![7], vec![0.0; 7]))));
            assert!(misshapen.contains(key) && misshapen.contains("[7]"), "{misshapen}");
            let surplus = fault(&|file| drop(file.insert(format!("{key}_2"), Tensor::new(vec![1], vec![0.0]))));
            assert!(surplus.contains(&format!("{key}_2")), "{surplus}");
            let infinite = fault(&|file| {
                let shape = file[key].shape().to_vec();
                let data = vec![f32::NAN; shape.iter().product()];
                file.insert(key.into(), Tensor::new(shape, data));
            });
            assert!(infinite.contains(key), "{infinite}");
        }
    }

    #[test]
    fn what_is_not_such_a_clip_is_refused() {
        let mut resnet = stored(ClipLayout::OpenAi, &small());
        resnet.insert("visual.layer1.0.conv1.weight".into(), Tensor::new(vec![1], vec![0.0]));
        let error = ClipLayout::OpenAi.read(resnet, settings()).unwrap_err().to_string();
        assert!(error.contains("not a CLIP vision transformer"), "{error}");
        let mut odd = stored(ClipLayout::OpenAi, &small());
        odd.insert("visual.positional_embedding".into(), Tensor::new(vec![19, 128], vec![0.0; 19 * 128]));
        let error = ClipLayout::OpenAi.read(odd, settings()).unwrap_err().to_string();
        assert!(error.contains("19 rows"), "{error}");
        let heads = [ClipSettings { quick_gelu: true, heads: Some(5) }; 2];
        let error = ClipLayout::OpenAi.read(stored(ClipLayout::OpenAi, &small()), heads).unwrap_err().to_string();
        assert!(error.contains("5 heads"), "{error}");
        let many = Tensors::from([(
            "visual.transformer.resblocks.18446744073709551615.x".into(),
            Tensor::new(vec![1], vec![0.0]),
        )]);
        assert!(ClipLayout::OpenAi.read(many, settings()).is_err());
        assert_eq!(ClipLayout::find(&Tensors::new()), None);
    }
}
