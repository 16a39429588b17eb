//! Finds the weights in a checkpoint, and strips the prefixes of their names.
//!
//! The order is spandrel's (`ModelLoader`): exponential averages before plain parameters, then a single nested dictionary.

use super::error::Fault;
use super::pickle::{Id, Object, Pickle};
use crate::Tensors;
use std::collections::HashSet;

/// Entries that hold weights, in order of preference.
const WRAPPERS: [&str; 8] =
    ["params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net", "netG"];

/// Prefixes of all names in a file whose module was wrapped.
const PREFIXES: [&str; 2] = ["module.", "netG."];

/// The deepest nesting of modules: anything deeper is malicious.
const DEPTH: usize = 64;

/// The most bytes of all names together: any number of tensors can refer to one text.
const NAMES: usize = 16 << 20;

/// Returns the dictionary of weights in a pickle, or its module, and the entry that held it.
pub(super) fn state_dict(pickle: &Pickle, root: Id) -> Option<(Id, Option<String>)> {
    if pickle.module(root).is_some() {
        return Some((root, None));
    }
    let entries = pickle.dict(root)?;
    let nested = |id: Id| pickle.dict(id).is_some_and(|entries| entries.iter().any(|(_, v)| pickle.is_tensor(*v)));
    let named = |name: &str| entries.iter().find(|(k, _)| pickle.text(*k) == Some(name));
    for wrapper in WRAPPERS {
        if let Some((_, id)) = named(wrapper).filter(|(_, id)| nested(*id)) {
            return Some((*id, Some(wrapper.to_owned())));
        }
    }
    if nested(root) {
        return Some((root, None));
    }
    // Visit each dictionary once, however many references it has.
    let mut seen = HashSet::new();
    let mut dicts = entries.iter().filter(|(_, v)| seen.insert(*v) && nested(*v));
    let (key, id) = dicts.next()?;
    match dicts.next() {
        None => Some((*id, pickle.text(*key).map(str::to_owned))),
        Some(_) => None,
    }
}

/// Returns every tensor of a dictionary by name; for a module, also those of nested modules under dotted names.
pub(super) fn named_tensors<'p>(pickle: &'p Pickle, weights: Id) -> Result<Vec<(String, &'p Object<'p>)>, Fault> {
    let mut found = Vec::new();
    let mut names = NAMES;
    let (mut seen, mut left) = (HashSet::from([weights]), vec![(weights, String::new(), 0)]);
    while let Some((id, prefix, depth)) = left.pop() {
        let entries = pickle.module(id).or(pickle.dict(id)).unwrap_or_default();
        for (key, value) in entries {
            let Some(key) = pickle.text(*key) else { continue };
            names = names
                .checked_sub(prefix.len() + key.len())
                .ok_or_else(|| Fault::Unsupported(format!("names of more than {NAMES} bytes together")))?;
            if let Some(tensor) = pickle.tensor(*value) {
                found.push((format!("{prefix}{key}"), tensor));
            } else if pickle.module(*value).is_some() && seen.insert(*value) {
                if depth == DEPTH {
                    return Err(Fault::Unsupported(format!("modules in each other, more than {DEPTH} deep")));
                }
                left.push((*value, format!("{prefix}{key}."), depth + 1));
            }
        }
    }
    Ok(found)
}

/// Strips the prefixes that all tensors share.
pub(super) fn without_prefix(tensors: Tensors) -> Tensors {
    let mut from = 0;
    let next = |from: usize| {
        let all_have = |prefix: &&str| tensors.keys().all(|key| key[from..].starts_with(*prefix));
        PREFIXES.into_iter().find(all_have).filter(|_| !tensors.is_empty())
    };
    while let Some(prefix) = next(from) {
        from += prefix.len();
    }
    match from {
        0 => tensors,
        _ => tensors.into_iter().map(|(key, tensor)| (key[from..].to_owned(), tensor)).collect(),
    }
}
