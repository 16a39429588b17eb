//! Detects results of an earlier run among the inputs: `*.jpg` matches photo_x4.jpg as well as photo.jpg.

use crate::shared::inputs::Input;
use pdn::is_result;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Returns the inputs without those that pdn made from others of them, which are recognised by their metadata and by a
/// name that begins with another's in the same folder. A picture that is named alone is never skipped. The second value
/// is the message about what was skipped.
pub(crate) fn without_results(pictures: Vec<Input>) -> (Vec<Input>, Option<String>) {
    let stems: HashSet<PathBuf> = pictures.iter().map(|input| input.path.with_extension("")).collect();
    let (results, others): (Vec<Input>, Vec<Input>) = pictures
        .into_iter()
        .partition(|input| is_named_after(&input.path, &stems) && input.path.is_file() && is_result(&input.path));
    let note = results.first().map(|first| {
        let left = match results.len() {
            1 => ": it is the result of another of the pictures".to_owned(),
            2 => " and 1 other: they are results of other pictures here".to_owned(),
            n => format!(" and {} others: they are results of other pictures here", n - 1),
        };
        format!("skipped {}{left}; to upscale one, give it alone", first.path.display())
    });
    (others, note)
}

/// Returns whether a name begins with another in its folder, followed by a separator such as _.
fn is_named_after(path: &Path, stems: &HashSet<PathBuf>) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let parts = stem.char_indices().skip(1).filter(|(_, c)| !c.is_alphanumeric());
    let mut before = parts.map(|(at, _)| path.with_file_name(&stem[..at]));
    before.any(|name| stems.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_named_after_what_they_were_made_of() {
        let stems = ["a/photo", "b/other", "a/é"].map(PathBuf::from).into_iter().collect();
        for (name, expected) in [
            ("a/photo_x4.jpg", true),
            ("a/photo-large.png", true),
            ("a/é_x4.png", true),
            ("b/photo_x4.jpg", false),
            ("a/photograph.jpg", false),
            ("a/photo.jpg", false),
            ("a/_x4.jpg", false),
        ] {
            assert_eq!(is_named_after(Path::new(name), &stems), expected, "{name}");
        }
    }
}
