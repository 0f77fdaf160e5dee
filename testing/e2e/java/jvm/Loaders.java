import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.traces.Span;
import org.apache.flink.traces.reporter.TraceReporter;
import org.apache.flink.traces.reporter.TraceReporterFactory;

/**
 * Loads the plugin by several class loaders in one JVM.
 *
 * <p>Arguments: the jar, the number of spans, and for each class loader the options of its reporters, such as
 * {@code name=a;cluster.name=c|name=b}. Each reporter is opened twice, and both times it gets all spans, whose name is
 * that of the reporter. Those of the first class loader are closed, and all others end with the JVM.
 */
public final class Loaders {
    public static void main(String[] arguments) throws Exception {
        URL[] jar = {Paths.get(arguments[0]).toUri().toURL()};
        int spans = Integer.parseInt(arguments[1]);
        List<TraceReporter> first = new ArrayList<>();
        for (int i = 2; i < arguments.length; i++) {
            // It is never closed, as that of Flink's plugins.
            ClassLoader loader = new URLClassLoader(jar, Loaders.class.getClassLoader());
            for (String options : arguments[i].split("\\|")) {
                for (int opening = 0; opening < 2; opening++) {
                    TraceReporter reporter = report(loader, options, spans);
                    if (i == 2) {
                        first.add(reporter);
                    }
                }
            }
        }
        first.forEach(TraceReporter::close);
        // The log of the plugin has a thread of its own, which needs a moment.
        Thread.sleep(1_000);
    }

    private static TraceReporter report(ClassLoader loader, String options, int spans) throws Exception {
        Properties properties = new Properties();
        for (String option : options.split(";")) {
            String[] pair = option.split("=", 2);
            properties.setProperty(pair[0], pair[1]);
        }
        Class<?> factory = loader.loadClass("io.flinktraces.OtlpTraceReporterFactory");
        TraceReporterFactory instance = (TraceReporterFactory) factory.getConstructor().newInstance();
        TraceReporter reporter = instance.createTraceReporter(properties);
        MetricConfig config = new MetricConfig();
        config.putAll(properties);
        reporter.open(config);
        for (int i = 0; i < spans; i++) {
            long now = System.currentTimeMillis();
            Span span = Span.builder(Loaders.class, properties.getProperty("name"))
                    .setStartTsMillis(now)
                    .setEndTsMillis(now)
                    .setAttribute("number", i)
                    .build();
            reporter.notifyOfAddedSpan(span);
        }
        return reporter;
    }
}
