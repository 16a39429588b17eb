//! One embedding of content and faults.

use crate::faults::known::KnownFaults;
use crate::faults::slot::Slot;

/// What an encoder's id ends with if its embeddings tell faults, too. Networks depend on the meaning of these numbers,
/// which [`Slot`] defines, and not on the towers that find them.
pub const FAULTS_ID: &str = "+faults-1";

/// Returns the length of an embedding of content and faults: the content's numbers, one for content that is not told,
/// and [`KnownFaults::LEN`].
pub fn composed_dim(content: usize) -> usize {
    content + 1 + KnownFaults::LEN
}

/// Composes the embedding of content of unit length, or of none, and of what is known of the faults. Content and each
/// slot have equal lengths, so the whole has the length 1.
///
/// # Panics
/// If the content has another length than `dim`.
pub fn compose(content: Option<&[f32]>, dim: usize, known: &KnownFaults) -> Vec<f32> {
    let mut all = Vec::with_capacity(composed_dim(dim));
    match content {
        Some(content) => {
            assert_eq!(content.len(), dim, "an embedding's numbers");
            all.extend_from_slice(content);
            all.push(0.0);
        }
        None => {
            all.resize(dim, 0.0);
            all.push(1.0);
        }
    }
    all.extend(known.values());
    let length = (1.0 + Slot::ALL.len() as f32).sqrt();
    all.iter_mut().for_each(|v| *v /= length);
    all
}

/// Returns the content of a composed embedding, of unit length or none, and what it says of the faults; `None` if a part
/// has no length.
pub(crate) fn decompose(values: &[f32], dim: usize) -> Option<(Option<Vec<f32>>, KnownFaults)> {
    let (content, slots) = values.split_at_checked(dim + 1)?;
    let known = KnownFaults::from_values(slots)?;
    let length = content[..dim].iter().map(|v| v * v).sum::<f32>().sqrt();
    if length <= content[dim].abs() {
        return Some((None, known));
    }
    Some((Some(content[..dim].iter().map(|v| v / length).collect()), known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_or_without_content_the_length_is_one() {
        let known: KnownFaults = "blur=slight,noise=3".parse().unwrap();
        for content in [None, Some(&[0.6_f32, 0.8][..])] {
            let all = compose(content, 2, &known);
            let length: f32 = all.iter().map(|v| v * v).sum();
            assert!(all.len() == composed_dim(2) && (length - 1.0).abs() < 1e-5, "{length}");
        }
    }
}
