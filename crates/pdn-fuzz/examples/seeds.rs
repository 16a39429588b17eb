//! Writes inputs to begin with, a folder for each target below the one that is named: whole files by the project's own writers,
//! and choices for the grammars.
//!
//!     cargo run -p pdn-fuzz --example seeds -- fuzz/seeds

use pdn::{Embedding, StoredPrecision, embeddings_to_bytes};
use pdn_fuzz::MADE;
use pdn_image::{Format, Picture, Resolution, ResolutionUnit, WriteOptions, encode};
use pdn_network::zoo::{Edsr, Imdn};
use pdn_network::{Card, Model, Network, hashed};
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("fuzz/seeds"), PathBuf::from);
    let mut random = Random(7);
    written(&folder.join("pictures"), pictures().into_iter().chain(choices(&mut random, 12, 10)))?;
    written(&folder.join("checkpoints"), checkpoints().into_iter().chain(choices(&mut random, 10, 12)))?;
    written(&folder.join("tokenizer"), sentences())?;
    written(&folder.join("captions"), captions())?;
    written(&folder.join("embeddings"), embeddings().into_iter().chain(choices(&mut random, 1, 16)))?;
    let plain = |input: Vec<u8>| input[1..].to_vec();
    written(&folder.join("kernels"), choices(&mut random, 8, 12).map(plain))?;
    written(&folder.join("avif"), choices(&mut random, 4, 16))?;
    written(&folder.join("requests"), requests().into_iter().chain(choices(&mut random, 4, 10)))?;
    written(&folder.join("recipes"), recipes()?)?;
    written(&folder.join("states"), choices(&mut random, 1, 24))
}

fn written(folder: &Path, inputs: impl IntoIterator<Item = Vec<u8>>) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (i, input) in inputs.into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{i:03}")), input)?;
    }
    Ok(())
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Choices for a grammar of so many kinds, so many of each.
fn choices(random: &mut Random, kinds: u8, each: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..kinds).flat_map(move |kind| (0..each).map(move |i| (kind, i))).map(move |(kind, i)| {
        let count = 64 << (i % 5);
        let bytes = std::iter::repeat_with(|| random.next() as u8).take(count);
        [MADE, kind].into_iter().chain(bytes).collect()
    })
}

fn pictures() -> Vec<Vec<u8>> {
    let (width, height) = (9, 7);
    let ramp = |count: usize| (0..count).map(|i| (i * 7 % 251) as u8).collect::<Vec<_>>();
    let colour = Picture::from_rgb(width, height, ramp(width * height * 3));
    let mut grey = Picture::from_rgb(width, height, ramp(width * height).into_iter().flat_map(|v| [v; 3]).collect());
    grey.grey = true;
    let mut all = Vec::new();
    for format in [Format::Png, Format::Tiff, Format::Jpeg, Format::WebP] {
        for mut picture in [colour.clone(), grey.clone()] {
            all.push(encode(&picture, format, &WriteOptions::default()).expect("a small picture is written"));
            if format.depth() == pdn_image::Depth::Sixteen {
                let deep = picture.converted::<u16>();
                all.push(encode(&deep, format, &WriteOptions::default()).expect("a small picture is written"));
            }
            if format.has_alpha() {
                picture = picture.with_alpha(Some(ramp(width * height)));
            }
            picture.resolution = Some(Resolution { x: 300_000, y: 72_000, unit: ResolutionUnit::Inch });
            all.push(encode(&picture, format, &WriteOptions::default()).expect("a small picture is written"));
        }
    }
    all
}

fn checkpoints() -> Vec<Vec<u8>> {
    let small = [
        Edsr { features: 2, blocks: 1, ..Edsr::baseline(2) }.build(),
        Imdn { features: 4, blocks: 1, ..Imdn::published(2) }.build(),
    ];
    let file = |network: Network| {
        let weights = hashed::weights(&network);
        Model { network, weights, card: Card::default(), source: None }.to_bytes(StoredPrecision::F16)
    };
    small.into_iter().flatten().map(file).collect()
}

fn sentences() -> Vec<Vec<u8>> {
    let texts = [
        "A person riding a motorcycle",
        "two dogs' toys, 3 of them!! it's they'll we're",
        "caf\u{e9} \u{72ac} \u{1f415} \u{fb03} \u{ff21}\u{3000}\u{201c}q\u{201d}",
        "<|startoftext|> &amp;lt;b&amp;gt; &#x41; &notit; <b> &amp; <|endoftext|>",
        "xylophonist antidisestablishmentarianism",
        "\u{feff}\u{0}\u{7f} \r\n\t words",
    ];
    let long = ["in", "&amp;amp;", "=", "\u{72ac}", "a\u{301}"].map(|piece| piece.repeat(300));
    texts.into_iter().map(str::to_owned).chain(long).map(String::into_bytes).collect()
}

fn captions() -> Vec<Vec<u8>> {
    let texts = [
        r#"[{"file": "b.jpg", "captions": ["one", "two"], "width": 9}, {"file": "a.jpg", "captions": []}]"#,
        r#"{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": " a "}]}"#,
        "image,split,caption\nx/b.png,val,\"one, \"\"two\"\"\"\nx/a.png,train,three\n",
        "\u{feff}image,caption\na.png,one\nx/a.png,two\n",
        "image,caption\na.png,\"one\nb.png,two\n",
        "\r\n  \r\n ein H\u{fc}ndchen \r\nsecond\r\n",
        "1,2,3,4",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn embeddings() -> Vec<Vec<u8>> {
    let embedding = Embedding { encoder: "a@0123456789ab".into(), values: vec![0.6, 0.8] };
    vec![embeddings_to_bytes(&[("a".to_owned(), embedding.clone()), ("b".to_owned(), embedding)])]
}

fn requests() -> Vec<Vec<u8>> {
    let json = r#"{"picture": {"data": "YWJj"}, "width": 300, "prompts": [{"text": "a dog", "weight": 0.5}],
        "regions": [{"left": 1, "top": 2, "width": 3, "height": 4, "text": "a wall"}]}"#;
    let part =
        |name: &str, value: &str| format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let parts =
        [("picture", "abc"), ("prompt", "a dog"), ("weights", "0.5"), ("region", "1,2,3,4=a wall"), ("scale", "2.5")];
    let form: String = parts.into_iter().map(|(name, value)| part(name, value)).collect();
    vec![json.into(), (form + "--b--\r\n").into()]
}

/// The project's own, without what a fuzzer has no use for.
fn recipes() -> std::io::Result<Vec<Vec<u8>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let recipe = |name: &str| std::fs::read(folder.join(name));
    let settings = b"\0schedule.steps=9\nconfig.features = 16\nsources=[]";
    Ok(vec![
        recipe("pdn-x4.toml")?,
        [&recipe("pdn-x4.toml")?[..], settings].concat(),
        recipe("sentences.toml")?,
        recipe("encoder.toml")?,
    ])
}
