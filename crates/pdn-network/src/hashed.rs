//! Weights and pictures computed from a name and an index, so that any network can be compared with another
//! implementation at full size without a file: both sides compute the same numbers.
//!
//! `tests/reference/hashed.py` is the counterpart: ten lines there, ten here.

use crate::{Init, Network, Tensor, Weights};

/// Returns a number in -1..1 that depends only on the name and the index, and is exact in `f32`.
///
/// It is FNV-1a of the name, plus the index times the golden ratio, through the finaliser of SplitMix64; the top 24
/// bits.
pub fn unit(name: &str, index: u64) -> f32 {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let mut z = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Returns `len` numbers from [`unit()`], times `bound`.
pub fn numbers(name: &str, len: usize, bound: f64) -> Vec<f32> {
    (0..len as u64).map(|i| (f64::from(unit(name, i)) * bound) as f32).collect()
}

/// Returns weights for every parameter of a network: kernels are uniform with variance 1 / fan-in, so that magnitudes
/// survive any depth; biases and slopes are uniform within 0.1; constants keep their initial value.
pub fn weights(network: &Network) -> Weights {
    let tensors = network.params.iter().map(|param| {
        let data = match param.init {
            Init::FanIn(n) | Init::Branch(n) | Init::Logits(n) => {
                numbers(&param.name, param.len(), (3.0 / n as f64).sqrt())
            }
            Init::Nearest(_) => {
                let inputs: usize = param.shape[1..].iter().product();
                numbers(&param.name, param.len(), (3.0 / inputs as f64).sqrt())
            }
            Init::Spread(deviation) => numbers(&param.name, param.len(), 3.0_f64.sqrt() * deviation),
            Init::Zero | Init::Slope => numbers(&param.name, param.len(), 0.1),
            Init::Constant(value) => vec![value as f32; param.len()],
        };
        Tensor::new(param.shape.clone(), data)
    });
    Weights(tensors.collect())
}

/// Returns a prompt embedding of unit length.
pub fn prompt(name: &str, dim: usize) -> Vec<f32> {
    let raw = numbers(name, dim, 1.0);
    let norm = raw.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    raw.iter().map(|v| (f64::from(*v) / norm) as f32).collect()
}
