// SPDX-License-Identifier: MIT
// Mimalloc, of which Debian has the library and not the crate.
use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;

#[link(name = "mimalloc")]
extern "C" {
    fn mi_malloc_aligned(size: usize, align: usize) -> *mut c_void;
    fn mi_zalloc_aligned(size: usize, align: usize) -> *mut c_void;
    fn mi_realloc_aligned(
        p: *mut c_void,
        size: usize,
        align: usize,
    ) -> *mut c_void;
    fn mi_free(p: *mut c_void);
}

struct Mimalloc;

#[global_allocator]
static GLOBAL: Mimalloc = Mimalloc;

unsafe impl GlobalAlloc for Mimalloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        mi_malloc_aligned(layout.size(), layout.align()).cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        mi_zalloc_aligned(layout.size(), layout.align()).cast()
    }

    unsafe fn dealloc(&self, p: *mut u8, _: Layout) {
        mi_free(p.cast());
    }

    unsafe fn realloc(
        &self,
        p: *mut u8,
        layout: Layout,
        size: usize,
    ) -> *mut u8 {
        mi_realloc_aligned(p.cast(), size, layout.align()).cast()
    }
}
