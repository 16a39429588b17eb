//! Convolutions with one kernel or with one mixed from a bank. Kernels are passed as their shapes.

use crate::{NetworkError, Shape};

/// Takes `weight` as `[out, in, k, k]` and `bias` as `[out]`.
pub(super) fn shape(x: Shape, weight: &[usize], bias: Option<&[usize]>) -> Result<Shape, NetworkError> {
    let [o, i, kh, kw] = *weight else {
        return Err(NetworkError::Shape(format!("expected a kernel [out, in, k, k], found {weight:?}")));
    };
    if let Some(bias) = bias.filter(|bias| *bias != [o]) {
        return Err(NetworkError::Shape(format!("expected a bias [{o}], found {bias:?}")));
    }
    convolved(x, [o, i, kh, kw])
}

/// Takes `bank` as `[n, out, in, k, k]`, `bias` as `[n, out]`, and `mixture` as a vector of n.
pub(super) fn mixed_shape(x: Shape, mixture: Shape, bank: &[usize], bias: &[usize]) -> Result<Shape, NetworkError> {
    let [n, o, i, kh, kw] = *bank else {
        return Err(NetworkError::Shape(format!("expected a bank [n, out, in, k, k], found {bank:?}")));
    };
    if bias != [n, o] {
        return Err(NetworkError::Shape(format!("expected biases [{n}, {o}], found {bias:?}")));
    }
    if mixture != Shape::vector(n) {
        return Err(NetworkError::Shape(format!("expected a mixture of {n} kernels, found {mixture:?}")));
    }
    convolved(x, [o, i, kh, kw])
}

fn convolved(x: Shape, [o, i, kh, kw]: [usize; 4]) -> Result<Shape, NetworkError> {
    if kh != kw || kh % 2 == 0 {
        return Err(NetworkError::Shape(format!("expected an odd square kernel, found {kh}x{kw}")));
    }
    if x.channels != i {
        return Err(NetworkError::Shape(format!("expected {i} channels, found {}", x.channels)));
    }
    Ok(Shape { channels: o, ..x })
}

/// Returns the multiply-accumulates per pixel.
pub(super) fn macs(weight: &[usize]) -> usize {
    weight.iter().product()
}

/// Returns the multiply-accumulates per pixel, once the kernel is mixed.
pub(super) fn mixed_macs(bank: &[usize]) -> usize {
    bank[1..].iter().product()
}

/// Returns the multiply-accumulates that mix the kernel, once per picture.
pub(super) fn mixing_macs(bank: &[usize]) -> usize {
    bank.iter().product()
}

pub(super) fn margin(margin: usize, weight: &[usize]) -> usize {
    margin + weight[3] / 2
}

pub(super) fn mixed_margin(margin: usize, bank: &[usize]) -> usize {
    margin + bank[4] / 2
}
