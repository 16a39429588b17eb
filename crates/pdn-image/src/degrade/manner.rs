//! How faults are done where their numbers leave it open.

/// What a description of faults leaves open.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Manner {
    /// The filter of an antialiased resize.
    pub filter: Filter,
    /// Whether noise is the same in all channels.
    pub grey_noise: bool,
    /// Whether noise grows with brightness.
    pub shot: bool,
    /// The quality of a JPEG of the picture before it became small, and by which factor it was smaller then.
    pub before: Option<(u8, f64)>,
}

/// Filters of an antialiased resize.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Filter {
    /// MATLAB's bicubic.
    #[default]
    Matlab,
    Triangle,
    Lanczos,
}
