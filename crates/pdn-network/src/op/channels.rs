//! Operations that concatenate, slice or reduce the channels of each pixel.

use crate::{NetworkError, Shape};

pub(super) fn concat_shape(maps: &[Shape]) -> Result<Shape, NetworkError> {
    match maps.iter().all(|s| s.extent == maps[0].extent) {
        true => Ok(Shape { channels: maps.iter().map(|s| s.channels).sum(), ..maps[0] }),
        false => Err(NetworkError::Shape(format!("expected maps of one extent, found {maps:?}"))),
    }
}

pub(super) fn slice_shape(x: Shape, start: usize, len: usize) -> Result<Shape, NetworkError> {
    match start.checked_add(len).is_some_and(|end| end <= x.channels) {
        true => Ok(Shape { channels: len, ..x }),
        false => Err(NetworkError::Shape(format!("channels {start} + {len} of {}", x.channels))),
    }
}

pub(super) fn dot_shape(x: Shape, y: Shape) -> Result<Shape, NetworkError> {
    match y.channels == x.channels && x.broadcasts(y) {
        true => Ok(Shape { channels: 1, ..x }),
        false => Err(NetworkError::Shape(format!("{y:?} does not stand beside {x:?}"))),
    }
}

pub(super) fn norm_shape(x: Shape) -> Shape {
    Shape { channels: 1, ..x }
}

/// Returns the multiply-accumulates of an inner product or a norm, per pixel.
pub(super) fn reduction_macs(x: Shape) -> usize {
    x.channels
}

/// Takes the shapes of the parameters `weight` and `bias`.
pub(super) fn layer_norm_shape(x: Shape, weight: &[usize], bias: &[usize]) -> Result<Shape, NetworkError> {
    match weight == [x.channels] && bias == [x.channels] {
        true => Ok(x),
        false => Err(NetworkError::Shape(format!("expected a weight and bias of {}", x.channels))),
    }
}
