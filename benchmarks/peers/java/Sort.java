// SPDX-License-Identifier: MIT

import java.util.Arrays;
import java.util.concurrent.RecursiveAction;

/**
 * Merge sort with a parallel merge. Java's int has a sign: the numbers are
 * kept with the top bit flipped, which keeps their order.
 */
final class Sort extends RecursiveAction {
    private static final int GRAIN = 2048;
    private static final int FLIP = Integer.MIN_VALUE;

    private final int[] a, other;
    private final int from, to;
    private final boolean away;

    private Sort(int[] a, int[] other, int from, int to, boolean away) {
        this.a = a;
        this.other = other;
        this.from = from;
        this.to = to;
        this.away = away;
    }

    @Override
    protected void compute() {
        sort(a, other, from, to, away);
    }

    /** Sorts a[from..to): in its place, or into other if away. */
    private static void sort(int[] a, int[] other, int from, int to,
            boolean away) {
        if (to - from <= GRAIN) {
            Arrays.sort(a, from, to);
            if (away)
                System.arraycopy(a, from, other, from, to - from);
            return;
        }
        int half = (from + to) >>> 1;
        Sort left = new Sort(a, other, from, half, !away);
        left.fork();
        sort(a, other, half, to, !away);
        left.join();
        if (away)
            merge(a, from, half, half, to, other, from);
        else
            merge(other, from, half, half, to, a, from);
    }

    private static final class Merge extends RecursiveAction {
        private final int[] in, out;
        private final int a, aEnd, b, bEnd, at;

        Merge(int[] in, int a, int aEnd, int b, int bEnd, int[] out, int at) {
            this.in = in;
            this.a = a;
            this.aEnd = aEnd;
            this.b = b;
            this.bEnd = bEnd;
            this.out = out;
            this.at = at;
        }

        @Override
        protected void compute() {
            merge(in, a, aEnd, b, bEnd, out, at);
        }
    }

    /** Merges in[a..aEnd) and in[b..bEnd) to out[at..). */
    private static void merge(int[] in, int a, int aEnd, int b, int bEnd,
            int[] out, int at) {
        if (aEnd - a + bEnd - b <= GRAIN) {
            mergeSmall(in, a, aEnd, b, bEnd, out, at);
            return;
        }
        if (aEnd - a < bEnd - b) {
            merge(in, b, bEnd, a, aEnd, out, at);
            return;
        }
        int i = (a + aEnd) >>> 1;
        int j = lowerBound(in, b, bEnd, in[i]);
        Merge left = new Merge(in, a, i, b, j, out, at);
        left.fork();
        merge(in, i, aEnd, j, bEnd, out, at + (i - a) + (j - b));
        left.join();
    }

    private static void mergeSmall(int[] in, int a, int aEnd, int b, int bEnd,
            int[] out, int at) {
        while (a < aEnd && b < bEnd)
            out[at++] = in[b] < in[a] ? in[b++] : in[a++];
        System.arraycopy(in, a, out, at, aEnd - a);
        System.arraycopy(in, b, out, at + (aEnd - a), bEnd - b);
    }

    /** The first place in a[low..high) of what is not less than x. */
    private static int lowerBound(int[] a, int low, int high, int x) {
        while (low < high) {
            int mid = (low + high) >>> 1;

            if (a[mid] < x)
                low = mid + 1;
            else
                high = mid;
        }
        return low;
    }

    private static long answer(int[] a) {
        long sum = 0;

        for (int i = 0; i < a.length; i++) {
            if (i > 0 && a[i - 1] > a[i])
                throw new AssertionError("not sorted");
            sum += Integer.toUnsignedLong(
                    a[i] ^ FLIP ^ (int) (i * 2654435761L));
        }
        return sum;
    }

    static void run(Peer.Run r) {
        int[] a = new int[r.size], other = new int[r.size];

        for (int i = 0; i < a.length; i++)
            a[i] = (int) Kernels.mix(i + 1) ^ FLIP;
        r.start();
        sort(a, other, 0, a.length, false);
        r.stop();
        r.answer = answer(a);
    }
}
