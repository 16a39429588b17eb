//! Numbers that end where memory does.

use std::ops::{Deref, DerefMut};

/// Numbers whose last byte is a page's last: the page after it cannot be read or written, nor the one before their first page, so
/// that whoever goes beyond them is stopped there.
pub struct Guarded {
    /// The first of the pages, that before the numbers' own.
    map: *mut libc::c_void,
    bytes: usize,
    numbers: *mut f32,
    count: usize,
}

impl Guarded {
    /// A copy of these.
    ///
    /// # Panics
    /// Where the system gives no memory.
    pub fn new(numbers: &[f32]) -> Self {
        // SAFETY: this asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let size = size_of_val(numbers);
        let own = size.next_multiple_of(page);
        let bytes = own + 2 * page;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: new pages are mapped at a place that the system chooses.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        assert!(map != libc::MAP_FAILED, "no memory for {bytes} bytes");
        // SAFETY: all of it is of the pages that were mapped, of which those between the first and the last are opened; the numbers,
        // a whole number of four bytes before a page's end, are aligned.
        let at = unsafe {
            let first = map.byte_add(page);
            assert!(
                own == 0 || libc::mprotect(first, own, libc::PROT_READ | libc::PROT_WRITE) == 0,
                "pages are not opened"
            );
            let at = first.byte_add(own - size).cast::<f32>();
            std::ptr::copy_nonoverlapping(numbers.as_ptr(), at, numbers.len());
            at
        };
        Self { map, bytes, numbers: at, count: numbers.len() }
    }
}

impl Deref for Guarded {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: as many were copied there, and the pages are open until this is dropped.
        unsafe { std::slice::from_raw_parts(self.numbers, self.count) }
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and nothing else refers to them.
        unsafe { std::slice::from_raw_parts_mut(self.numbers, self.count) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the pages that were mapped, to which nothing refers any more.
        unsafe { libc::munmap(self.map, self.bytes) };
    }
}
