// SPDX-License-Identifier: MIT

import java.util.stream.IntStream;
import java.util.stream.LongStream;

/** The loops: parallel streams, which run on the pool that calls them. */
final class Loops {
    private Loops() {}

    static void heat(Peer.Run r) {
        int n = r.size;
        double[] u = new double[n * n], v = new double[n * n];

        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                u[i * n + j] = v[i * n + j] = i * j % 16;
        r.start();
        for (int step = 0; step < n / 4; step++) {
            double[] from = u, to = v;

            IntStream.range(1, n - 1).parallel()
                    .forEach(i -> Kernels.heatRow(from, to, n, i));
            u = to;
            v = from;
        }
        r.stop();
        double sum = 0;
        for (double x : u)
            sum += x;
        r.answer = (long) Math.floor(sum);
    }

    static long even(long n) {
        return LongStream.range(0, n).parallel()
                .map(i -> Kernels.spin(i, 500))
                .reduce(0, (x, y) -> x ^ y) >>> 1;
    }

    static long skewed(long n) {
        return LongStream.range(0, n).parallel()
                .map(i -> Kernels.spin(i, i < n / 8 ? 4000 : 100))
                .reduce(0, (x, y) -> x ^ y) >>> 1;
    }

    static long fine(long n) {
        return LongStream.range(0, n).parallel()
                .map(i -> Kernels.spin(i, 2))
                .reduce(0, (x, y) -> x ^ y) >>> 1;
    }

    static long reduce(long n) {
        return LongStream.range(0, n).parallel()
                .map(i -> Kernels.mix(i) >>> 8)
                .sum() & Long.MAX_VALUE;
    }
}
