package io.flinktraces;

import java.util.Properties;
import org.apache.flink.events.reporter.EventReporter;
import org.apache.flink.events.reporter.EventReporterFactory;

/** Creates the JSON Lines reporter of flink-traces for events. */
public final class JsonEventReporterFactory implements EventReporterFactory {
    @Override
    public EventReporter createEventReporter(Properties options) {
        return new NativeEventReporter("json", JsonEventReporterFactory.class);
    }
}
