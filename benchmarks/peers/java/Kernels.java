// SPDX-License-Identifier: MIT

/** What ../kernels.h has, in Java: the sequential part of the rows. */
final class Kernels {
    static final long GOLDEN = 0x9e3779b97f4a7c15L;
    static final double EPSILON = 1e-9;

    private Kernels() {}

    static long mix(long z) {
        z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
        z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
        return z ^ z >>> 31;
    }

    /** May a queen stand in column c of row n? */
    static boolean queenSafe(byte[] board, int n, int c) {
        for (int i = 0; i < n; i++) {
            int d = board[i] - c;

            if (d == 0 || d == n - i || d == i - n)
                return false;
        }
        return true;
    }

    static double integrand(double x) {
        return (x * x + 1.0) * x;
    }

    static int utsChildren(long state) {
        return mix(state ^ GOLDEN) >>> 40 < 2094635 ? 8 : 0;
    }

    static long utsChild(long state, int i) {
        return mix(state + (i + 1) * GOLDEN);
    }

    /** Row i, no border, of v from u. */
    static void heatRow(double[] u, double[] v, int n, int i) {
        int begin = i * n + 1, end = i * n + n - 1;

        for (int j = begin; j < end; j++)
            v[j] = 0.25 * (((u[j - n] + u[j + n]) + u[j - 1]) + u[j + 1]);
    }

    static long spin(long i, int rounds) {
        long x = i + 1;

        for (int k = 0; k < rounds; k++) {
            x ^= x << 13;
            x ^= x >>> 7;
            x ^= x << 17;
        }
        return x;
    }
}
