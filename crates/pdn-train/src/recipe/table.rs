//! A recipe's file as a table: what it shares with others, its own keys, and the overrides of this run.

use crate::recipe::error::RecipeError;
use pdn_network::file;
use std::path::Path;

/// Returns the path of a file beside the recipe.
pub(crate) fn beside(recipe: &Path, file: &Path) -> std::path::PathBuf {
    recipe.parent().unwrap_or(Path::new(".")).join(file)
}

/// The most bytes of a recipe.
const MOST: u64 = 1 << 20;

/// The key that names the file of shared settings, beside the recipe.
const BASE: &str = "base";

/// Reads a recipe's table.
pub(crate) fn read(path: &Path, set: &[String]) -> Result<toml::Table, RecipeError> {
    let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
    let mut table = parse(path)?;
    if let Some(base) = table.remove(BASE) {
        let base = base.as_str().ok_or_else(|| wrong(format!("{BASE}: expected a file name")))?;
        let mut base = fragment(&beside(path, Path::new(base)))?;
        if table.contains_key("architecture") {
            // A configuration belongs to one architecture.
            base.remove("config");
        }
        table = merged(base, table);
    }
    for setting in set {
        put(&mut table, setting).map_err(|why| wrong(format!("override `{setting}`: {why}")))?;
    }
    Ok(table)
}

/// Parses a file's table, without its base.
fn parse(path: &Path) -> Result<toml::Table, RecipeError> {
    let wrong = |why: String| RecipeError::Recipe { path: path.to_owned(), why };
    let text = file::read_text(path, MOST).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    toml::from_str(&text).map_err(|e| wrong(e.to_string().trim_end().to_owned()))
}

/// Reads settings that recipes share.
fn fragment(path: &Path) -> Result<toml::Table, RecipeError> {
    let table = parse(path)?;
    match table.contains_key(BASE) {
        true => {
            let why = format!("has a `{BASE}` of its own; expected a file without one");
            Err(RecipeError::Recipe { path: path.to_owned(), why })
        }
        false => Ok(table),
    }
}

/// Merges two tables; the second takes precedence.
fn merged(mut base: toml::Table, own: toml::Table) -> toml::Table {
    for (key, value) in own {
        let value = match (base.remove(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(own)) => toml::Value::Table(merged(base, own)),
            (_, own) => own,
        };
        base.insert(key, value);
    }
    base
}

/// Sets a value at a key of a table.
fn put(table: &mut toml::Table, setting: &str) -> Result<(), String> {
    let (keys, value) = setting.split_once('=').ok_or("expected key=value")?;
    let (value, mut keys) = (value.trim(), keys.trim().split('.').peekable());
    // Text need not be quoted.
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}")).ok().and_then(|mut t| t.remove("value"));
    let parsed = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut table = table;
    while let Some(key) = keys.next() {
        if keys.peek().is_none() {
            table.insert(key.to_owned(), parsed);
            break;
        }
        let inner = table.entry(key.to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = inner.as_table_mut().ok_or_else(|| format!("`{key}` is not a table"))?;
    }
    Ok(())
}
