import bench.Spans;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.traces.SpanBuilder;
import org.apache.flink.traces.reporter.TraceReporter;
import org.apache.flink.traces.reporter.TraceReporterFactory;

/**
 * Reports spans through the plugin for a long time, and writes the resident memory of the process each minute, in KB.
 *
 * <p>Arguments: the jar, the endpoint of a collector, the file for the memory, spans a second, minutes, and the
 * children of the tree that each minute begins with.
 */
public final class Load {
    private static final Map<String, String> VARIABLES = Map.of("jobId", "0a4480b1aa43ca25b4801a22462f387a");

    public static void main(String[] arguments) throws Exception {
        ClassLoader plugin = new URLClassLoader(
                new URL[] {Paths.get(arguments[0]).toUri().toURL()}, Load.class.getClassLoader());
        Class<?> factory = plugin.loadClass("io.flinktraces.OtlpTraceReporterFactory");
        MetricConfig options = new MetricConfig();
        options.setProperty("name", "load");
        options.setProperty("exporter.endpoint", arguments[1]);
        TraceReporter reporter =
                ((TraceReporterFactory) factory.getConstructor().newInstance()).createTraceReporter(options);
        reporter.open(options);
        int rate = Integer.parseInt(arguments[3]);
        int minutes = Integer.parseInt(arguments[4]);
        int children = Integer.parseInt(arguments[5]);
        try (PrintStream memory = new PrintStream(Files.newOutputStream(Path.of(arguments[2])), true)) {
            for (int minute = 0; minute < minutes; minute++) {
                SpanBuilder tree = Spans.checkpoint(Load.class, "Tree", minute);
                for (int child = 0; child < children; child++) {
                    tree.addChild(Spans.part(Load.class, "Child", child));
                }
                reporter.notifyOfAddedSpan(tree.build(VARIABLES));
                report(reporter, minute, rate * 60, rate);
                memory.println(resident());
            }
        }
        System.exit(0);
    }

    /** Reports a number of spans at a rate. */
    private static void report(TraceReporter reporter, int minute, int count, int rate) {
        long start = System.nanoTime();
        for (int number = 0; number < count; number++) {
            long due = start + number * 1_000_000_000L / rate;
            for (long left = due - System.nanoTime(); left > 0; left = due - System.nanoTime()) {
                LockSupport.parkNanos(left);
            }
            // Texts that never come again, besides those that do.
            reporter.notifyOfAddedSpan(Spans.checkpoint(Load.class, "Paced", number)
                    .setAttribute("text", minute + " " + number)
                    .build(VARIABLES));
        }
    }

    private static String resident() throws Exception {
        String status = Files.readString(Path.of("/proc/self/status"));
        return status.replaceAll("(?s).*VmRSS:\\s*(\\d+) kB.*", "$1");
    }
}
