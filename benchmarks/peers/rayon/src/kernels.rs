// SPDX-License-Identifier: MIT
// The C kernels of kernels.c.
#[link(name = "kernels", kind = "static")]
extern "C" {
    pub fn peer_matmul_block(
        a: *const f64,
        b: *const f64,
        c: *mut f64,
        n: usize,
    );
    pub fn peer_merge_small(
        a: *const u32,
        n: usize,
        b: *const u32,
        m: usize,
        out: *mut u32,
    );
}
