package io.flinktraces;

import java.util.Properties;
import org.apache.flink.events.reporter.EventReporter;
import org.apache.flink.events.reporter.EventReporterFactory;

/** Creates the OTLP reporter of flink-traces for events. */
public final class OtlpEventReporterFactory implements EventReporterFactory {
    @Override
    public EventReporter createEventReporter(Properties options) {
        return new NativeEventReporter("otlp", OtlpEventReporterFactory.class);
    }
}
