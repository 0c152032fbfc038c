// SPDX-License-Identifier: MIT

import java.util.concurrent.RecursiveAction;

/**
 * The recursive rows. A task is an action with its result in a field, so that
 * no number is boxed. Children are taken in the reverse of the order in which
 * they were forked: who was not stolen is taken back and computed in place,
 * who was is joined. Tasks that call compute() of tasks, too, and not a static
 * method: the compiler inlines some levels of that, which is thrice as fast.
 */
final class Trees {
    private Trees() {}

    static final class Fib extends RecursiveAction {
        private final int n;
        private long result;

        Fib(int n) {
            this.n = n;
        }

        @Override
        protected void compute() {
            if (n < 2) {
                result = n;
                return;
            }
            Fib a = new Fib(n - 1);
            a.fork();
            Fib b = new Fib(n - 2);
            b.compute();
            if (a.tryUnfork())
                a.compute();
            else
                a.join();
            result = a.result + b.result;
        }
    }

    static long fib(long n) {
        Fib root = new Fib((int) n);
        root.compute();
        return root.result;
    }

    static final class Skynet extends RecursiveAction {
        private final long first, leaves;
        private final Skynet before;
        private long result;

        Skynet(long first, long leaves, Skynet before) {
            this.first = first;
            this.leaves = leaves;
            this.before = before;
        }

        @Override
        protected void compute() {
            if (leaves == 1) {
                result = first;
                return;
            }
            Skynet last = null;
            long part = leaves / 10;
            for (int i = 0; i < 9; i++) {
                last = new Skynet(first + i * part, part, last);
                last.fork();
            }
            Skynet tenth = new Skynet(first + 9 * part, part, null);
            tenth.compute();
            long sum = tenth.result;
            for (Skynet s = last; s != null; s = s.before) {
                if (s.tryUnfork())
                    s.compute();
                else
                    s.join();
                sum += s.result;
            }
            result = sum;
        }
    }

    static long skynet(long leaves) {
        Skynet root = new Skynet(0, leaves, null);
        root.compute();
        return root.result;
    }

    static final class Queens extends RecursiveAction {
        private final byte[] board;
        private final int row;
        private final Queens before;
        private long result;

        Queens(byte[] board, int row, Queens before) {
            this.board = board;
            this.row = row;
            this.before = before;
        }

        @Override
        protected void compute() {
            if (row == board.length) {
                result = 1;
                return;
            }
            Queens last = null;
            for (int c = 0; c < board.length; c++) {
                if (!Kernels.queenSafe(board, row, c))
                    continue;
                byte[] copy = board.clone();
                copy[row] = (byte) c;
                last = new Queens(copy, row + 1, last);
                last.fork();
            }
            long count = 0;
            for (Queens q = last; q != null; q = q.before) {
                if (q.tryUnfork())
                    q.compute();
                else
                    q.join();
                count += q.result;
            }
            result = count;
        }
    }

    static long queens(long n) {
        Queens root = new Queens(new byte[(int) n], 0, null);
        root.compute();
        return root.result;
    }

    static final class Quad extends RecursiveAction {
        private final double x1, y1, x2, y2, area;
        private double result;

        Quad(double x1, double y1, double x2, double y2, double area) {
            this.x1 = x1;
            this.y1 = y1;
            this.x2 = x2;
            this.y2 = y2;
            this.area = area;
        }

        @Override
        protected void compute() {
            double half = (x2 - x1) / 2, x0 = x1 + half;
            double y0 = Kernels.integrand(x0);
            double a1 = (y1 + y0) / 2 * half, a2 = (y0 + y2) / 2 * half;

            if (Math.abs(a1 + a2 - area) < Kernels.EPSILON) {
                result = a1 + a2;
                return;
            }
            Quad left = new Quad(x1, y1, x0, y0, a1);
            left.fork();
            Quad right = new Quad(x0, y0, x2, y2, a2);
            right.compute();
            if (left.tryUnfork())
                left.compute();
            else
                left.join();
            result = left.result + right.result;
        }
    }

    static long integrate(long n) {
        double y1 = Kernels.integrand(0), y2 = Kernels.integrand(n);
        Quad root = new Quad(0, y1, n, y2, (y1 + y2) / 2 * n);

        root.compute();
        return (long) Math.floor(root.result * 10);
    }

    static final class Uts extends RecursiveAction {
        private final long state;
        private final int children;
        private final Uts before;
        private long result;

        Uts(long state, int children, Uts before) {
            this.state = state;
            this.children = children;
            this.before = before;
        }

        private Uts child(int i, Uts before) {
            long s = Kernels.utsChild(state, i);

            return new Uts(s, Kernels.utsChildren(s), before);
        }

        @Override
        protected void compute() {
            if (children == 0) {
                result = 1;
                return;
            }
            Uts last = null;
            for (int i = 0; i < children - 1; i++) {
                last = child(i, last);
                last.fork();
            }
            Uts called = child(children - 1, null);
            called.compute();
            long count = 1 + called.result;
            for (Uts u = last; u != null; u = u.before) {
                if (u.tryUnfork())
                    u.compute();
                else
                    u.join();
                count += u.result;
            }
            result = count;
        }
    }

    static long uts(long n) {
        Uts root = new Uts(Kernels.mix(n), 2000, null);

        root.compute();
        return root.result;
    }
}
