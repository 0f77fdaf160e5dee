import io.flinktraces.Happening;
import io.flinktraces.Node;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import org.apache.flink.events.Event;
import org.apache.flink.events.reporter.EventReporter;
import org.apache.flink.events.reporter.EventReporterFactory;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.traces.Span;
import org.apache.flink.traces.reporter.TraceReporter;
import org.apache.flink.traces.reporter.TraceReporterFactory;

/**
 * Passes random trees of spans and random events to reporters of the plugin and of the witness.
 *
 * <p>Arguments: the jar of the plugin, that of the witness, the seed, the number of records, the endpoint of a collector,
 * and the directory of the witness.
 */
public final class RandomRecords {
    private static final String[] ALPHABETS = {"abcxyz019_.- ", "\u00fc\u4e16\u00e9\u20ac", "\0\n\t\"\\'\u007f\u0080", "\ud83d\ude00"};
    private static final int MOST_SPANS = 60;
    /** The depth of a random tree, and of the chain above one in a hundred. The parser of JSON takes no more. */
    private static final int DEPTH = 25;

    private final Random random;
    private int budget;

    private RandomRecords(long seed) {
        random = new Random(seed);
    }

    public static void main(String[] arguments) throws Exception {
        ClassLoader plugin = loader(arguments[0]);
        ClassLoader witness = loader(arguments[1]);
        MetricConfig toCollector = options("exporter.endpoint", arguments[4]);
        MetricConfig toFile = options("path", arguments[5]);
        TraceReporter[] traces = {
            traceReporter(plugin, "io.flinktraces.Otlp", toCollector), traceReporter(witness, "witness.Witness", toFile)
        };
        EventReporter[] events = {
            eventReporter(plugin, "io.flinktraces.Otlp", toCollector), eventReporter(witness, "witness.Witness", toFile)
        };
        RandomRecords records = new RandomRecords(Long.parseLong(arguments[2]));
        for (int i = Integer.parseInt(arguments[3]); i > 0; i--) {
            if (records.random.nextInt(4) == 0) {
                Event event = records.event();
                for (EventReporter reporter : events) {
                    reporter.notifyOfAddedEvent(event);
                }
            } else {
                Span span = records.tree();
                for (TraceReporter reporter : traces) {
                    reporter.notifyOfAddedSpan(span);
                }
            }
        }
    }

    private static ClassLoader loader(String jar) throws Exception {
        return new URLClassLoader(new URL[] {Paths.get(jar).toUri().toURL()}, RandomRecords.class.getClassLoader());
    }

    private static MetricConfig options(String key, String value) {
        MetricConfig options = new MetricConfig();
        options.setProperty(key, value);
        return options;
    }

    private static TraceReporter traceReporter(ClassLoader loader, String name, MetricConfig options) throws Exception {
        Class<?> factory = loader.loadClass(name + "TraceReporterFactory");
        TraceReporter reporter =
                ((TraceReporterFactory) factory.getConstructor().newInstance()).createTraceReporter(options);
        reporter.open(options);
        return reporter;
    }

    private static EventReporter eventReporter(ClassLoader loader, String name, MetricConfig options) throws Exception {
        Class<?> factory = loader.loadClass(name + "EventReporterFactory");
        EventReporter reporter =
                ((EventReporterFactory) factory.getConstructor().newInstance()).createEventReporter(options);
        reporter.open(options);
        return reporter;
    }

    private Node tree() {
        budget = random.nextInt(10) == 0 ? random.nextInt(MOST_SPANS) : random.nextInt(6);
        Node root = node(DEPTH);
        if (random.nextInt(100) == 0) {
            for (int i = 0; i < DEPTH; i++) {
                Node parent = new Node("deep", "level", 1, 2);
                parent.children.add(root);
                root = parent;
            }
        }
        return root;
    }

    private Node node(int levels) {
        long start = time();
        Node node = new Node("s" + text(20), "n" + text(40), start, start + random.nextInt(1_000_000));
        fill(node.attributes);
        for (int children = random.nextInt(5); children > 0 && budget > 0 && levels > 1; children--) {
            budget--;
            node.children.add(node(levels - 1));
        }
        return node;
    }

    private Event event() {
        Happening event = new Happening("s" + text(20), "e" + text(40), time(), "body " + text(300), text(5));
        fill(event.attributes);
        return event;
    }

    /** Returns a usual time, because reporters correct others, as they do empty names and scopes. */
    private long time() {
        return 1_790_000_000_000L + random.nextInt(1_000_000_000);
    }

    private void fill(Map<String, Object> attributes) {
        for (int count = random.nextInt(random.nextInt(10) == 0 ? 40 : 5); count > 0; count--) {
            attributes.put("k" + text(12), value());
        }
    }

    private Object value() {
        switch (random.nextInt(9)) {
            case 0:
                return random.nextLong();
            case 1:
                return random.nextInt();
            case 2:
                return (short) random.nextInt();
            case 3:
                return random.nextInt(2) == 0 ? random.nextGaussian() : Math.scalb(random.nextDouble(), random.nextInt(600) - 300);
            case 4:
                return random.nextBoolean();
            case 5:
                return null;
            case 6:
                return Arrays.asList(random.nextInt(10), text(5));
            // The encoder treats lengths of 126 and 127 and pieces of 64 KiB differently.
            case 7:
                return text(random.nextInt(50) == 0 ? 200_000 : 130);
            default:
                return text(20);
        }
    }

    private String text(int most) {
        String alphabet = ALPHABETS[random.nextInt(3) == 0 ? random.nextInt(ALPHABETS.length) : 0];
        StringBuilder text = new StringBuilder();
        for (int length = random.nextInt(most + 1); length > 0; length--) {
            // Half of a surrogate pair may stand alone.
            text.append(alphabet.charAt(random.nextInt(alphabet.length())));
        }
        return text.toString();
    }
}
