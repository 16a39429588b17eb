//! What every target has: a bound on memory, and what is made of a panic.

mod guard;

pub use guard::Guarded;

use peak_alloc::PeakAlloc;
use std::collections::HashSet;
use std::panic::{Location, PanicHookInfo};
use std::sync::Mutex;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Where decoders of others have panicked, each place told once.
static TOLD: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// Says what a panic is: the end where it is in our code, which has none; told once where it is in others', for reading
/// catches what decoders do to a damaged file. What nothing catches is the end all the same.
pub fn prepare() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo| {
        let place = panic.location().map(Location::to_string).unwrap_or_default();
        let ours = place.starts_with("/") && place.contains("/crates/pdn-") || place.contains("/crates/pdn/");
        let mut told = TOLD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.get_or_insert_default().insert(place) || ours {
            eprintln!("{panic}");
        }
        if ours {
            eprintln!("{}", std::backtrace::Backtrace::force_capture());
            std::process::abort();
        }
    }));
}

/// Runs one input, which takes no more memory than so many MiB.
pub fn bounded(most: usize, run: impl FnOnce()) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    run();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    if taken > most << 20 {
        eprintln!("{taken} bytes of memory, more than {most} MiB");
        std::process::abort();
    }
}

/// A target: libFuzzer's entry, which runs a function on each input, with 512 MiB or as many as are said. It runs on nothing first, for
/// what is made once is no input's.
#[macro_export]
macro_rules! target {
    ($run:expr) => {
        $crate::target!($run, 512);
    };
    ($run:expr, $most:expr) => {
        libfuzzer_sys::fuzz_target!(
            init: {
                $crate::prepare();
                ($run)(&[]);
            },
            |data: &[u8]| $crate::bounded($most, || ($run)(data))
        );
    };
}
