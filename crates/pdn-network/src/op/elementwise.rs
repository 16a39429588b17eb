//! Operations on each number by itself, or on two maps number by number.

use crate::{NetworkError, ParamId, Shape};

/// A function of each number by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, else `x` times this slope.
    LeakyRelu(f64),
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x Φ(x)` with the normal distribution's Φ, by the error function.
    Gelu,
    /// `x / (1 + exp(-1.702 x))`, which OpenAI's CLIP uses in the place of [`Act::Gelu`].
    QuickGelu,
    /// `x` where positive, else `x` times the slope that is learned for its channel, `[channels]`.
    PRelu(ParamId),
}

/// How two numbers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// The sum.
    Add,
    /// The product.
    Mul,
    /// The first by the second.
    Div,
}

impl Act {
    /// The parameter of a function that has one.
    pub(super) fn param(&self) -> Option<ParamId> {
        match self {
            Self::PRelu(slope) => Some(*slope),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn param_mut(&mut self) -> Option<&mut ParamId> {
        match self {
            Self::PRelu(slope) => Some(slope),
            _ => None,
        }
    }
}

/// `slopes` is the shape of the parameter, of a function that has one.
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
