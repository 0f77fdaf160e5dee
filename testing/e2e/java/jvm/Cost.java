import bench.Spans;
import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.reflect.Field;
import java.net.URI;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.traces.Span;
import org.apache.flink.traces.SpanBuilder;
import org.apache.flink.traces.reporter.TraceReporter;
import org.apache.flink.traces.reporter.TraceReporterFactory;

/**
 * Measures what a reporter of the plugin and Flink's own cost the thread that reports.
 *
 * <p>Arguments: the jar of each, the endpoint of a collector for each, an endpoint where nobody listens, the port of
 * the plugin's metrics, the file for the results, spans a second, seconds of a round, measured rounds, trees, the tasks
 * of a tree, and the subtasks of a task. Two more rounds and the first tree only warm up.
 */
public final class Cost {
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    /** The variables of a metric group, which Flink adds to a span. */
    private static final Map<String, String> VARIABLES = Map.of(
            "jobId", "0a4480b1aa43ca25b4801a22462f387a",
            "host", "jobmanager-0.internal",
            "job_id", "0a4480b1aa43ca25b4801a22462f387a",
            "job_name", "State machine job");
    /** The bound of a reporter without a collector, and the spans that it gets. */
    private static final String BOUND = "32 mb";
    private static final int UNDELIVERED = 400_000;

    private final int rate;
    private final int seconds;
    private final int tasks;
    private final int subtasks;

    private Cost(String[] numbers) {
        rate = Integer.parseInt(numbers[0]);
        seconds = Integer.parseInt(numbers[1]);
        tasks = Integer.parseInt(numbers[4]);
        subtasks = Integer.parseInt(numbers[5]);
    }

    public static void main(String[] arguments) throws Exception {
        String ours = "io.flinktraces.OtlpTraceReporterFactory";
        ClassLoader plugin = loader(arguments[0]);
        URL metrics = URI.create("http://127.0.0.1:" + arguments[5] + "/metrics").toURL();
        MetricConfig options = options("ours", arguments[2]);
        options.setProperty("metrics.listen", arguments[5]);
        TraceReporter reporter = reporter(plugin, ours, options);
        Side first = new Side(reporter, () -> {
            while (metric(metrics, "flink_traces_reporter_queued", "ours") > 0) {
                Thread.sleep(20);
            }
        });
        String factory = "org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory";
        TraceReporter flinks = reporter(loader(arguments[1]), factory, options("flink", arguments[3]));
        Side second = new Side(flinks, () -> flush(flinks));
        Side[] sides = {first, second};

        Cost cost = new Cost(Arrays.copyOfRange(arguments, 7, arguments.length));
        int rounds = Integer.parseInt(arguments[9]);
        // The second round warms up, too. It begins after a silence, in which the threads of the plugin fell asleep.
        for (int round = -1; round <= rounds; round++) {
            for (Side side : sides) {
                cost.paced(side, round);
            }
        }
        int trees = Integer.parseInt(arguments[10]);
        for (int tree = 0; tree < trees; tree++) {
            for (Side side : sides) {
                cost.tree(side, tree > 0);
            }
        }

        List<String> rows = new ArrayList<>();
        row(rows, "p50 of a call, µs", sides, side -> side.quantile(0.5) / 1e3);
        row(rows, "p99 of a call, µs", sides, side -> side.quantile(0.99) / 1e3);
        row(rows, "heap garbage a span, its thread, bytes", sides, side -> side.garbage / side.spans());
        row(rows, "heap garbage a span, other threads, bytes", sides, side -> side.othersGarbage / side.spans());
        row(rows, "CPU of the caller for a tree, ms", sides, side -> median(side.trees) / 1e6);
        row(rows, "heap garbage a span of a tree, bytes", sides, side -> median(side.treeGarbage) / cost.treeSpans());
        row(rows, "most resident memory for a tree, MB", sides, side -> side.peak / 1e3);
        cost.bounded(plugin, ours, arguments[4], metrics, rows);
        Files.write(Paths.get(arguments[6]), rows);
        flinks.close();
        // The threads of Flink's reporter would keep the process alive.
        System.exit(0);
    }

    private static void row(List<String> rows, String title, Side[] sides, Figure figure) {
        String format = "%-50s %10.2f %10.2f";
        rows.add(String.format(Locale.ROOT, format, title, figure.of(sides[0]), figure.of(sides[1])));
    }

    private static ClassLoader loader(String jar) throws Exception {
        return new URLClassLoader(new URL[] {Paths.get(jar).toUri().toURL()}, Cost.class.getClassLoader());
    }

    private static MetricConfig options(String name, String endpoint) {
        MetricConfig options = new MetricConfig();
        options.setProperty("name", name);
        options.setProperty("exporter.endpoint", endpoint);
        return options;
    }

    private static TraceReporter reporter(ClassLoader loader, String factory, MetricConfig options) throws Exception {
        Class<?> type = loader.loadClass(factory);
        TraceReporter reporter =
                ((TraceReporterFactory) type.getConstructor().newInstance()).createTraceReporter(options);
        Thread.currentThread().setContextClassLoader(loader);
        reporter.open(options);
        return reporter;
    }

    /** Returns the value of a metric of a reporter of the plugin. */
    private static long metric(URL metrics, String name, String reporter) throws IOException {
        String start = name + "{signal=\"traces\",reporter=\"" + reporter + "\"";
        try (var page = metrics.openStream()) {
            return new String(page.readAllBytes(), StandardCharsets.UTF_8)
                    .lines()
                    .filter(line -> line.startsWith(start))
                    .mapToLong(line -> Long.parseLong(line.substring(line.lastIndexOf(' ') + 1)))
                    .sum();
        }
    }

    /** Lets Flink's reporter send what it has, as its end does. */
    private static void flush(TraceReporter flinks) throws Exception {
        Field field = flinks.getClass().getDeclaredField("spanProcessor");
        field.setAccessible(true);
        Object processor = field.get(flinks);
        Object result = processor.getClass().getMethod("forceFlush").invoke(processor);
        result.getClass().getMethod("join", long.class, TimeUnit.class).invoke(result, 60, TimeUnit.SECONDS);
    }

    private int treeSpans() {
        return 1 + tasks + tasks * subtasks;
    }

    private static SpanBuilder checkpoint(String name, long number) {
        return Spans.checkpoint(Cost.class, name, number);
    }

    private static SpanBuilder child(String name, long number) {
        return Spans.part(Cost.class, name, number);
    }

    /** Reports {@code rate} spans a second, each built right before, as Flink does. Only the report counts. */
    private void paced(Side side, int round) throws Exception {
        long[] taken = new long[rate * seconds];
        TraceReporter reporter = side.reporter;
        long garbage = 0;
        long othersGarbage = othersGarbage();
        long start = System.nanoTime();
        for (int number = 0; number < taken.length; number++) {
            long due = start + number * 1_000_000_000L / rate;
            // A sleep ends late. The rest of the time passes in a loop.
            long sleep = due - System.nanoTime() - 200_000;
            if (sleep > 0) {
                LockSupport.parkNanos(sleep);
            }
            while (System.nanoTime() < due) {
                Thread.onSpinWait();
            }
            Span span = checkpoint("Paced", number).build(VARIABLES);
            garbage -= THREADS.getCurrentThreadAllocatedBytes();
            long at = System.nanoTime();
            reporter.notifyOfAddedSpan(span);
            taken[number] = System.nanoTime() - at;
            garbage += THREADS.getCurrentThreadAllocatedBytes();
        }
        side.drain.run();
        othersGarbage = othersGarbage() - othersGarbage;
        if (round > 0) {
            side.taken.add(taken);
            side.garbage += garbage;
            side.othersGarbage += othersGarbage;
        }
    }

    /** Reports a tree. */
    private void tree(Side side, boolean isMeasured) throws Exception {
        SpanBuilder root = checkpoint("Tree", 1);
        for (int task = 0; task < tasks; task++) {
            SpanBuilder parent = child("Tree_Task", task);
            for (int subtask = 0; subtask < subtasks; subtask++) {
                parent.addChild(child("Tree_Subtask", subtask));
            }
            root.addChild(parent);
        }
        Span tree = root.build(VARIABLES);
        Memory memory = new Memory();
        long garbage = THREADS.getCurrentThreadAllocatedBytes();
        long start = THREADS.getCurrentThreadCpuTime();
        side.reporter.notifyOfAddedSpan(tree);
        long taken = THREADS.getCurrentThreadCpuTime() - start;
        garbage = THREADS.getCurrentThreadAllocatedBytes() - garbage;
        side.drain.run();
        if (isMeasured) {
            side.trees.add(taken);
            side.treeGarbage.add(garbage);
            side.peak = Math.max(side.peak, memory.peak());
        }
    }

    /** Reports more than a reporter of the plugin may hold, while there is no collector. */
    private void bounded(ClassLoader plugin, String factory, String endpoint, URL metrics, List<String> rows)
            throws Exception {
        MetricConfig options = options("bounded", endpoint);
        options.setProperty("queue.max-bytes", BOUND);
        TraceReporter reporter = reporter(plugin, factory, options);
        Memory memory = new Memory();
        for (int number = 0; number < UNDELIVERED; number++) {
            reporter.notifyOfAddedSpan(checkpoint("Undelivered", number).build(VARIABLES));
        }
        long queued = metric(metrics, "flink_traces_reporter_queued_bytes", "bounded");
        long dropped = metric(metrics, "flink_traces_reporter_dropped_total", "bounded");
        rows.add(String.format(
                Locale.ROOT,
                "%d spans without a collector, queue.max-bytes %s: %.1f MB queued, %d dropped, %.1f MB more memory",
                UNDELIVERED, BOUND, queued / 1e6, dropped, memory.peak() / 1e3));
    }

    /** Returns the bytes that all other living threads have allocated. */
    private static long othersGarbage() {
        long self = Thread.currentThread().getId();
        long[] others = Arrays.stream(THREADS.getAllThreadIds()).filter(id -> id != self).toArray();
        return Arrays.stream(THREADS.getThreadAllocatedBytes(others)).filter(bytes -> bytes > 0).sum();
    }

    private static double median(List<Long> numbers) {
        return numbers.stream().sorted().skip(numbers.size() / 2).findFirst().orElseThrow();
    }

    /** The resident memory since a moment, in KB. */
    private static final class Memory {
        private final long before;

        Memory() throws IOException {
            // It resets the highest value.
            Files.writeString(Path.of("/proc/self/clear_refs"), "5");
            before = status("VmRSS");
        }

        /** Returns how much it has grown at most. */
        long peak() throws IOException {
            return status("VmHWM") - before;
        }

        private static long status(String key) throws IOException {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith(key + ":")) {
                    return Long.parseLong(line.replaceAll("\\D", ""));
                }
            }
            throw new IOException("no " + key);
        }
    }

    /** A step that may fail. */
    private interface Step {
        void run() throws Exception;
    }

    /** A figure of a reporter. */
    private interface Figure {
        double of(Side side);
    }

    /** A reporter and what it has cost. */
    private static final class Side {
        private final TraceReporter reporter;
        private final Step drain;
        private final List<long[]> taken = new ArrayList<>();
        private final List<Long> trees = new ArrayList<>();
        private final List<Long> treeGarbage = new ArrayList<>();
        private double garbage;
        private double othersGarbage;
        private long peak;

        Side(TraceReporter reporter, Step drain) {
            this.reporter = reporter;
            this.drain = drain;
        }

        private int spans() {
            return taken.stream().mapToInt(round -> round.length).sum();
        }

        private double quantile(double share) {
            long[] all = taken.stream().flatMapToLong(Arrays::stream).sorted().toArray();
            return all[(int) (all.length * share)];
        }
    }
}
