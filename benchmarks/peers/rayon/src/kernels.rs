// SPDX-License-Identifier: MIT
// The C kernels of ../../kernels.c.
#[link(name = "kernels", kind = "static")]
extern "C" {
    pub fn matmul_block(
        a: *const f64,
        b: *const f64,
        c: *mut f64,
        n: usize,
    );
    pub fn sort_small(a: *mut u32, n: usize);
    pub fn merge_small(
        a: *const u32,
        n: usize,
        b: *const u32,
        m: usize,
        out: *mut u32,
    );
}
