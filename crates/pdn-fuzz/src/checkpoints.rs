//! Checkpoints: raw bytes, or files made by a grammar, up to the network that is recognised in them.

use crate::dice::Dice;
use crate::pickle::{Named, Pickle};
use crate::{MADE, clip};
use pdn_network::checkpoint::{self, Precision};
use pdn_network::zoo::{ARCHITECTURES, ClipLayout, ClipSettings, Layout};
use pdn_network::{Card, Model, Network, hashed};
use serde_json::{Map, Value, json};
use std::io::{Cursor, Write};
use std::path::Path;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Reads a checkpoint, either the input itself or one that the grammar makes of it, and recognises the network.
///
/// # Panics
/// If a model that was read and written is not read back unchanged.
pub fn checkpoints(data: &[u8]) {
    match data {
        [MADE, choices @ ..] => read(&made_checkpoint(choices)),
        _ => read(data),
    }
}

/// Makes a file from these choices with the grammar.
pub fn made_checkpoint(choices: &[u8]) -> Vec<u8> {
    let mut dice = Dice::new(choices);
    let kind = dice.byte() % 10;
    let file = match (kind, network(&mut dice)) {
        (8, _) => clip::named(&mut dice).map(|named| archive(&mut dice, &named)),
        (9, _) => clip::named(&mut dice).map(|named| legacy(&mut dice, &named)),
        (_, None) => None,
        (0..=2, Some((network, layout))) => Some(archive(&mut dice, &named(&network, layout))),
        (3 | 4, Some((network, layout))) => Some(legacy(&mut dice, &named(&network, layout))),
        (_, Some((network, _))) => Some(safetensors(&mut dice, network)),
    };
    let file = file.unwrap_or_default();
    dice.damaged(file, 16)
}

fn read(file: &[u8]) {
    let path = Path::new("file");
    let Ok(checkpoint) = checkpoint::parse(file) else { return };
    if let Some(layout) = ClipLayout::find(&checkpoint.tensors) {
        for heads in [None, Some(1)] {
            let settings = [ClipSettings { quick_gelu: true, heads }; 2];
            let _ = layout.read(checkpoint.tensors.clone(), settings);
        }
    }
    let _ = pdn::EncoderFile::parse(path, file).map(|file| pdn::Encoder::new(path, file));
    let Ok(model) = Model::from_bytes(path, file) else { return };
    let _ = model.network.summary();
    let written = model.to_bytes(Precision::F32);
    let again = Model::from_bytes(path, &written).unwrap_or_else(|error| panic!("not read again: {error}"));
    assert!(again.network == model.network, "another network");
    assert!(again.to_bytes(Precision::F32) == written, "another file");
}

/// Makes a small network, and picks a project's naming of its parameters.
fn network(dice: &mut Dice) -> Option<(Network, &'static Layout)> {
    let architecture = dice.of(ARCHITECTURES);
    let preset = dice.of(architecture.presets);
    let mut config = preset.1(dice.of(&[2, 3, 4, 8]));
    for key in ["features", "growth", "dim", "squeezed"] {
        let small = dice.of(&[4, 1, 2, 3, 8]);
        shrunk(&mut config, key, small);
    }
    for key in ["blocks", "groups", "convs", "layers", "modules", "kernels"] {
        let small = dice.of(&[1, 2, 0]);
        shrunk(&mut config, key, small);
    }
    let layout = dice.below(architecture.layouts.len());
    Some(((architecture.build)(&config).ok()?, &architecture.layouts[layout]))
}

/// Reduces a number in a configuration, at any depth.
fn shrunk(config: &mut Value, key: &str, small: u64) {
    let Some(fields) = config.as_object_mut() else { return };
    for (name, value) in fields {
        match value {
            Value::Number(_) if name == key => *value = json!(small),
            value => shrunk(value, key, small),
        }
    }
}

fn named(network: &Network, layout: &Layout) -> Vec<Named> {
    let named = |param: &pdn_network::Param| Named {
        name: (layout.key)(&param.name, &network.config),
        shape: param.shape.clone(),
    };
    network.params.iter().map(named).collect()
}

/// Returns a storage large enough for any one of these tensors, in any type.
fn storage(dice: &mut Dice, named: &[Named]) -> Vec<u8> {
    let most = named.iter().map(|tensor| tensor.shape.iter().product::<usize>()).max().unwrap_or_default();
    let total: usize = named.iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
    // A file may expand to eight times its own size.
    let bytes = dice.right((most * 8).max(total) as u64, 16).min(1 << 20);
    dice.filled(bytes as usize)
}

/// Makes a zip archive as torch writes it.
fn archive(dice: &mut Dice, named: &[Named]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let root = dice.of(&["archive/", "", "a/b/"]);
    let pickle = Pickle::new(dice).weights(named);
    let mut entries = vec![("data.pkl", pickle), ("data/0", storage(dice, named)), ("version", b"3\n".to_vec())];
    if dice.once_in(3) {
        entries.push(("byteorder", dice.of(&[&b"little"[..], b"big"]).to_vec()));
    }
    if dice.once_in(4) {
        entries.push((dice.of(&["constants.pkl", "code/__torch__.py", "data/1", "data/"]), dice.bytes(40)));
    }
    if dice.once_in(16) {
        entries.swap(0, 1);
    }
    for (name, content) in entries {
        // Duplicate names are refused, which is fine.
        if zip.start_file(format!("{root}{name}"), SimpleFileOptions::default()).is_ok() {
            zip.write_all(&content).expect("memory takes all bytes");
        }
    }
    zip.finish().map(Cursor::into_inner).unwrap_or_default()
}

/// Makes the older pickle format.
fn legacy(dice: &mut Dice, named: &[Named]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}q\0.".to_vec();
    file.extend(Pickle::new(dice).weights(named));
    let count = 1 + usize::from(dice.once_in(8));
    file.extend(Pickle::new(dice).keys(count));
    for _ in 0..count {
        let storage = storage(dice, named);
        let numbers = dice.right(storage.len() as u64 / 4, 16);
        file.extend(numbers.to_le_bytes());
        file.extend(storage);
    }
    file
}

/// Makes a model's own file, or a checkpoint, with a changed header.
fn safetensors(dice: &mut Dice, network: Network) -> Vec<u8> {
    let network = if dice.once_in(3) { network.deployed() } else { network };
    let weights = hashed::weights(&network);
    let precision = dice.of(&[Precision::F32, Precision::F16, Precision::Bf16]);
    let model = Model { network, weights, card: Card::default(), source: None };
    let file = model.to_bytes(precision);
    header_changed(dice, file, &["pdn.card"])
}

/// Changes the header of a safetensors file, including the nested JSON under these keys.
pub(crate) fn header_changed(dice: &mut Dice, file: Vec<u8>, inside: &[&str]) -> Vec<u8> {
    let Some((length, rest)) = file.split_first_chunk() else { return file };
    let (header, data) = rest.split_at((u64::from_le_bytes(*length) as usize).min(rest.len()));
    let Ok(mut header) = serde_json::from_slice::<Value>(header) else { return file };
    if let Some(said) = header.get_mut("__metadata__").and_then(Value::as_object_mut) {
        for key in inside {
            card_changed(dice, said, key);
        }
    }
    for _ in 0..dice.below(3) {
        changed(dice, &mut header);
    }
    let header = header.to_string().into_bytes();
    let header = dice.damaged(header, 8);
    let length = dice.right(header.len() as u64, 24).to_le_bytes();
    [&length[..], &header, data].concat()
}

/// Changes, drops or keeps a JSON value that is stored as text.
fn card_changed(dice: &mut Dice, said: &mut Map<String, Value>, key: &str) {
    match (dice.byte() % 4, said.get_mut(key)) {
        (0, _) => drop(said.remove(key)),
        (1, _) | (_, None) => {}
        (_, Some(text)) => {
            let mut inside = text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            (0..=dice.below(3)).for_each(|_| changed(dice, &mut inside));
            *text = inside.to_string().into();
        }
    }
}

/// Changes or drops one value at any depth.
pub(crate) fn changed(dice: &mut Dice, value: &mut Value) {
    match value {
        Value::Object(fields) if !fields.is_empty() && !dice.once_in(16) => {
            let at = dice.below(fields.len());
            let Some(key) = fields.keys().nth(at).cloned() else { return };
            match dice.byte() % 12 {
                0 => drop(fields.remove(&key)),
                1 => {
                    let moved = fields.remove(&key).unwrap_or_default();
                    fields.insert(dice.of(&["a", "scale", "features", "shape", "pdn.encoder", ""]).into(), moved);
                }
                _ => changed(dice, &mut fields[&key]),
            }
        }
        Value::Array(items) if !items.is_empty() && !dice.once_in(8) => {
            let at = dice.below(items.len());
            match dice.byte() % 6 {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => changed(dice, &mut items[at]),
            }
        }
        value => {
            *value = match dice.byte() % 10 {
                0 => Value::Null,
                1 => json!(dice.byte().is_multiple_of(2)),
                2 => json!(-1),
                3 => json!(dice.of(&[0.5, -1e300, 1e-300, 1e300])),
                4 => json!(dice.of(&["", "F32", "I64", "F8_E4M3", "train", "deploy", "direct", "edsr", "pdn"])),
                5 => json!([dice.number(), dice.number()]),
                6 => json!({}),
                _ => json!(dice.number()),
            }
        }
    }
}
