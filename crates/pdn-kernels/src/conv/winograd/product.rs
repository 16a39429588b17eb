//! The description of a matrix product: the matrices and their sizes.

/// `c[row][column] (+)= Σ a[row, k] b[k][column]`: `b` is `[depth][columns]`, `c` `[rows][columns]`, with columns a
/// multiple of [`LANES`]; `a` has its own strides. Each `k` is as many adjacent numbers as are multiplied at once.
pub(crate) struct Product<N> {
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    pub(crate) a: *const N,
    pub(crate) a_row: usize,
    pub(crate) a_depth: usize,
    pub(crate) b: *const N,
    pub(crate) c: *mut f32,
    pub(crate) sums: Sums,
    #[cfg_attr(
        not(all(target_arch = "x86_64", target_os = "linux")),
        expect(dead_code, reason = "only tiles ask for it")
    )]
    /// Rows that there is room for in `a` and in `c`; those after the last may hold anything, and are overwritten.
    pub(crate) room: usize,
}

/// What happens to the content of `c`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Sums {
    /// The sums overwrite it.
    New,
    /// The sums are added to it.
    Onto,
}
