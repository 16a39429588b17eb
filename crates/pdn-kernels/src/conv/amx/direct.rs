//! Direct convolution with tiles.

use super::detect::is_available;
use super::layout::AmxConv;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::{epilogue, gemm, pack};
use crate::{Input, RowsMut, Store};

impl AmxConv {
    /// Convolves rows. `input` holds the rows around a group, from half a kernel above the first to half a kernel below
    /// the last; the store skips some of the group's rows. As many rows are stored as `out` has room for, each as
    /// `shuffle` rows.
    ///
    /// If the input is not finite, neither is the output.
    ///
    /// # Panics
    /// Panics if `out` is not whole rows, the input has fewer rows than they need, or the machine has no AMX. The
    /// caller has checked the rest.
    pub(crate) fn rows(&self, input: &Input, store: &Store, RowsMut { data: out, shape: out_shape }: RowsMut) {
        assert!(is_available(), "this machine has no AMX with bf16");
        if out_shape.is_empty() {
            return;
        }
        for row in out.chunks_exact_mut(out_shape.len()) {
            out_shape.clear_pads(row);
        }
        let count = out.len() / (out_shape.len() * self.shape.shuffle);
        assert!(store.skip + count + self.shape.side - 1 <= input.maps[0].len(), "rows of input");
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        pack::with_pixels(self, input, store.skip, count, |pixels| {
            let results = epilogue::Results { store, out: out.as_mut_ptr(), shape: out_shape };
            gemm::Job { conv: self, pixels, width: input.shape.width, results }.run();
        });
    }
}
