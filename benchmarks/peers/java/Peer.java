// SPDX-License-Identifier: MIT

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ForkJoinPool;
import java.util.function.Consumer;
import java.util.function.LongUnaryOperator;

/**
 * The peer on Java: a ForkJoinPool, recursive tasks and parallel streams. No
 * rows of tasks that wait: before virtual threads they would be threads.
 */
final class Peer {
    /** One go at a row; the row calls start and stop around its work. */
    static final class Run {
        final int size;
        long began, took, answer;

        Run(int size) {
            this.size = size;
        }

        void start() {
            began = System.nanoTime();
        }

        void stop() {
            took = System.nanoTime() - began;
        }
    }

    /* Runs before the clock: until the compilers have done their work. */
    private static final int WARM_RUNS = 10;
    private static final long WARM_NS = 1_000_000_000L;
    private static final long WARM_NS_MOST = 3_000_000_000L;

    private static final Map<String, Consumer<Run>> ROWS =
            new LinkedHashMap<>();

    static {
        all("fib", Trees::fib);
        all("skynet", Trees::skynet);
        all("nqueens", Trees::queens);
        all("integrate", Trees::integrate);
        all("uts", Trees::uts);
        ROWS.put("cilksort", Sort::run);
        ROWS.put("heat", Loops::heat);
        all("for_even", Loops::even);
        all("for_skewed", Loops::skewed);
        all("for_fine", Loops::fine);
        all("reduce", Loops::reduce);
    }

    private Peer() {}

    /** A row whose whole work is timed. */
    private static void all(String name, LongUnaryOperator work) {
        ROWS.put(name, r -> {
            r.start();
            r.answer = work.applyAsLong(r.size);
            r.stop();
        });
    }

    private static void fail(String why) {
        System.err.println(why);
        System.exit(2);
    }

    /** A number of the command line; at least 1. */
    private static int number(String s) {
        if (!s.matches("[1-9][0-9]{0,8}"))
            fail("not a number from 1 to 999999999: " + s);
        return Integer.parseInt(s);
    }

    private static void runs(Consumer<Run> row, int size, int runs) {
        long began = System.nanoTime(), passed = 0;

        for (int i = 0; i < WARM_RUNS || passed < WARM_NS; i++) {
            if (i > 0 && passed > WARM_NS_MOST)
                break;
            row.accept(new Run(size));
            passed = System.nanoTime() - began;
        }
        for (int i = 0; i < runs; i++) {
            Run r = new Run(size);

            row.accept(r);
            System.out.println(r.took + " " + r.answer);
        }
    }

    public static void main(String[] args) {
        if (args.length == 1 && args[0].equals("list")) {
            ROWS.keySet().forEach(System.out::println);
            return;
        }
        if (args.length == 1 && args[0].equals("version")) {
            System.out.println("java " + System.getProperty("java.version")
                    + ", " + System.getProperty("java.vm.name")
                    + ", ForkJoinPool, ParallelGC");
            return;
        }
        if (args.length != 4)
            fail("usage: peer list | version | ROW THREADS SIZE RUNS");
        Consumer<Run> row = ROWS.get(args[0]);
        int threads = number(args[1]);
        int size = number(args[2]), runs = number(args[3]);

        if (row == null)
            fail("no such row: " + args[0]);
        // A worker of the pool does the rows: what they fork stays there.
        ForkJoinPool pool = new ForkJoinPool(threads);
        pool.submit(() -> runs(row, size, runs)).join();
        pool.shutdown();
    }
}
