package witness;

import java.util.Collections;
import java.util.List;
import java.util.Properties;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.traces.Span;
import org.apache.flink.traces.reporter.TraceReporter;
import org.apache.flink.traces.reporter.TraceReporterFactory;

/** Writes each span tree to a file. The option {@code path} is the directory. */
public final class WitnessTraceReporterFactory implements TraceReporterFactory {
    @Override
    public TraceReporter createTraceReporter(Properties properties) {
        return new TraceReporter() {
            private WitnessFile file;

            @Override
            public void open(MetricConfig config) {
                file = new WitnessFile(config.getString("path", null), "traces");
            }

            @Override
            public void notifyOfAddedSpan(Span span) {
                StringBuilder line = new StringBuilder();
                write(line, span);
                file.write(line);
            }

            @Override
            public void close() {}
        };
    }

    private static void write(StringBuilder to, Span span) {
        WitnessFile.text(to.append("{\"scope\":"), span.getScope());
        WitnessFile.text(to.append(",\"name\":"), span.getName());
        to.append(",\"start\":").append(span.getStartTsMillis()).append(",\"end\":").append(span.getEndTsMillis()).append(',');
        WitnessFile.attributes(to, span.getAttributes());
        to.append(",\"children\":[");
        String separator = "";
        for (Span child : children(span)) {
            to.append(separator);
            write(to, child);
            separator = ",";
        }
        to.append("]}");
    }

    @SuppressWarnings("unchecked")
    private static List<Span> children(Span span) {
        try {
            return (List<Span>) Span.class.getMethod("getChildren").invoke(span);
        } catch (ReflectiveOperationException e) {
            // Flink before 2.2 has no children.
            return Collections.emptyList();
        }
    }
}
