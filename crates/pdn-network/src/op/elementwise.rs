//! Elementwise operations on one map or two.

use crate::{NetworkError, ParamId, Shape};

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// `max(x, 0)`.
    Relu,
    /// `x` if positive, otherwise `x` times this slope.
    LeakyRelu(f64),
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x Φ(x)` with the normal distribution's Φ, by the error function.
    Gelu,
    /// `x / (1 + exp(-1.702 x))`, which OpenAI's CLIP uses instead of [`Act::Gelu`].
    QuickGelu,
    /// `x` if positive, otherwise `x` times the learned slope of its channel, `[channels]`.
    PRelu(ParamId),
}

/// An elementwise operation on two maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// The sum.
    Add,
    /// The product.
    Mul,
    /// The first divided by the second.
    Div,
}

impl Act {
    /// Returns the function's parameter, if it has one.
    pub(super) fn param(&self) -> Option<ParamId> {
        match self {
            Self::PRelu(slope) => Some(*slope),
            _ => None,
        }
    }

    /// Returns the function's parameter for modification, if it has one.
    pub(super) fn param_mut(&mut self) -> Option<&mut ParamId> {
        match self {
            Self::PRelu(slope) => Some(slope),
            _ => None,
        }
    }
}

/// Takes the shape of the parameter as `slopes`, if the function has one.
pub(super) fn act_shape(x: Shape, slopes: Option<&[usize]>) -> Result<Shape, NetworkError> {
    match slopes {
        Some(slopes) if slopes != [x.channels] => {
            Err(NetworkError::Shape(format!("expected {} slopes, found {slopes:?}", x.channels)))
        }
        _ => Ok(x),
    }
}

pub(super) fn binary_shape(x: Shape, y: Shape) -> Result<Shape, NetworkError> {
    match x.broadcasts(y) {
        true => Ok(x),
        false => Err(NetworkError::Shape(format!("{y:?} does not stand beside {x:?}"))),
    }
}
