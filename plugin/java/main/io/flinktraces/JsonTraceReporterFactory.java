package io.flinktraces;

import java.util.Properties;
import org.apache.flink.traces.reporter.TraceReporter;
import org.apache.flink.traces.reporter.TraceReporterFactory;

/** Creates the JSON Lines reporter of flink-traces for spans. */
public final class JsonTraceReporterFactory implements TraceReporterFactory {
    @Override
    public TraceReporter createTraceReporter(Properties options) {
        return new NativeTraceReporter("json", JsonTraceReporterFactory.class);
    }
}
