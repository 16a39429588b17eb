//! Layouts: how projects name the parameters of an architecture, and helpers that infer a configuration from keys and
//! shapes.

use crate::Tensors;
use serde_json::Value;

/// Mean colour of DIV2K, which EDSR and its successors subtract.
pub const DIV2K_MEAN: [f64; 3] = [0.4488, 0.4371, 0.4040];

/// A project's naming scheme for the parameters of an architecture.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The project, such as `EDSR-PyTorch`.
    pub name: &'static str,
    /// Infers the configuration from the keys and shapes, or returns `None` if they do not follow this layout.
    pub infer: fn(&Tensors) -> Option<Value>,
    /// Returns the layout's key for one of our parameters.
    pub key: fn(ours: &str, config: &Value) -> String,
    /// Prepares the tensors, for example by folding normalisation into the preceding convolutions.
    pub prepare: fn(&mut Tensors),
    /// Prefixes of keys that are not parameters here, such as a mean shift that the configuration already holds.
    pub ignored: &'static [&'static str],
}

/// Returns our own name as the key.
pub(super) fn same(ours: &str, _config: &Value) -> String {
    ours.to_owned()
}

/// Leaves the tensors as they are stored.
pub(super) fn as_stored(_tensors: &mut Tensors) {}

/// Returns the shape of a tensor if it has four dimensions.
pub(super) fn kernel_shape(tensors: &Tensors, key: &str) -> Option<[usize; 4]> {
    tensors.get(key)?.shape().try_into().ok()
}

/// Returns how many of `key(0)`, `key(1)`, ... there are before the first gap.
pub(super) fn count(tensors: &Tensors, key: impl Fn(usize) -> String) -> usize {
    (0..).take_while(|i| tensors.contains_key(&key(*i))).count()
}

/// Returns the mean colour that a first layer subtracts, such as EDSR-PyTorch's `sub_mean`: its bias is `-range mean`.
/// Without that layer the mean is DIV2K's.
pub(super) fn mean_shift(tensors: &Tensors, bias: &str, range: f64) -> [f64; 3] {
    match tensors.get(bias).map(|t| t.data()) {
        Some(&[r, g, b]) => [r, g, b].map(|v| f64::from(v) / -range),
        _ => DIV2K_MEAN,
    }
}

/// Returns the scale of EDSR's upsampler from the shapes of its convolutions: x3 is one of 9 times the channels, x2,
/// x4, ... are one, two, ... of 4 times.
pub(super) fn upsampler_scale(tensors: &Tensors, key: impl Fn(usize) -> String) -> Option<usize> {
    let stages = count(tensors, &key);
    let [out, channels, ..] = kernel_shape(tensors, &key(0))?;
    match out.checked_div(channels)? {
        9 if stages == 1 => Some(3),
        4 => 1_usize.checked_shl(stages.try_into().ok()?),
        _ => None,
    }
}
