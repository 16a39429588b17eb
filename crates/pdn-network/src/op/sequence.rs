//! Operations on sequences: the tokens of a sentence, or the patches of a picture. Tables are passed as their shapes.

use crate::{Extent, NetworkError, Shape};

/// One end of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first pixel: a picture's class token.
    First,
    /// The last pixel: a sentence's end token. If sentences are padded to one length, it is the last of each sentence.
    Last,
}

/// Takes `table` as `[vocabulary, channels]`.
pub(super) fn words_shape(table: &[usize]) -> Result<Shape, NetworkError> {
    match table {
        [_, channels] => Ok(Shape { channels: *channels, extent: Extent::Sequence }),
        other => Err(NetworkError::Shape(format!("expected a table [vocabulary, channels], found {other:?}"))),
    }
}

/// Takes `table` as `[at least as many, channels]`.
pub(super) fn positions_shape(x: Shape, table: &[usize]) -> Result<Shape, NetworkError> {
    match table {
        [_, channels] if *channels == x.channels => Ok(x),
        other => Err(NetworkError::Shape(format!("expected a table [pixels, {}], found {other:?}", x.channels))),
    }
}

pub(super) fn join_shape(maps: &[Shape]) -> Result<Shape, NetworkError> {
    match maps[0].channels == maps[1].channels {
        true => Ok(Shape { extent: Extent::Sequence, ..maps[0] }),
        false => Err(NetworkError::Shape(format!("expected as many channels, found {maps:?}"))),
    }
}

pub(super) fn attend_shape(maps: &[Shape], heads: usize) -> Result<Shape, NetworkError> {
    let alike = maps.iter().all(|s| *s == maps[0]);
    match alike && heads > 0 && maps[0].channels.is_multiple_of(heads) {
        true => Ok(maps[0]),
        false => {
            Err(NetworkError::Shape(format!("expected three maps of a multiple of {heads} channels, found {maps:?}")))
        }
    }
}

pub(super) fn take_shape(x: Shape) -> Shape {
    Shape::vector(x.channels)
}
