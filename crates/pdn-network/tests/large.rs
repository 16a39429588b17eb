//! Reads a file of a few hundred bytes whose card asks for a million layers, with every number within its bounds.

use pdn_network::checkpoint::{self, Precision};
use pdn_network::{Model, Tensor};
use peak_alloc::PeakAlloc;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn a_card_alone_fills_no_memory() {
    let dcm = json!({"dim": 1, "kernels": 1});
    let groups = json!({"scale": 2, "features": 1, "groups": 256, "blocks": 256});
    let with = |more: Value| {
        let fields = groups.as_object().into_iter().chain(more.as_object()).flatten();
        fields.map(|(key, value)| (key.clone(), value.clone())).collect::<Value>()
    };
    for (architecture, config) in [
        ("rcan", with(json!({"squeezed": 1, "plus": {"modules": 256, "dcm": dcm}}))),
        ("pdn", with(json!({"modules": 256, "dcm": dcm, "channel_attention": 1}))),
    ] {
        let card = json!({"architecture": architecture, "config": config, "form": "deploy", "scale": 2, "sha256": "", "name": ""});
        let said = HashMap::from([("pdn.card".to_owned(), card.to_string())]);
        let one = BTreeMap::from([("a".to_owned(), Tensor::new(vec![1], vec![0.0]))]);
        let file = checkpoint::write(&one, said, Precision::F32);
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let refused = Model::from_bytes(Path::new("card"), &file).unwrap_err().to_string();
        let taken = MEMORY.peak_usage().saturating_sub(before);
        assert!(refused.contains("layers"), "{refused}");
        assert!(taken < 64 << 20, "{architecture}: {taken} bytes for {} of file", file.len());
    }
}
