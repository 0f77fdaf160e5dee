package io.flinktraces;

import org.apache.flink.events.Event;
import org.apache.flink.events.reporter.EventReporter;
import org.apache.flink.metrics.MetricConfig;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Passes events to a reporter of the native side. If that cannot be opened, it ignores them. */
final class NativeEventReporter implements EventReporter {
    private static final Logger LOG = LoggerFactory.getLogger(NativeEventReporter.class);

    private final String destination;
    private final Class<?> factory;
    private Reporters.Handle handle;
    private boolean hasFailed;

    NativeEventReporter(String destination, Class<?> factory) {
        this.destination = destination;
        this.factory = factory;
    }

    @Override
    public void open(MetricConfig options) {
        handle = Reporters.open("events", destination, factory, options);
    }

    @Override
    public void notifyOfAddedEvent(Event event) {
        if (handle == null) {
            return;
        }
        try {
            handle.write(event);
        } catch (Throwable e) {
            // Flink would not catch an Error. The native side counts the event.
            if (!hasFailed) {
                hasFailed = true;
                LOG.warn("cannot encode an event, dropping it and counting further ones", e);
            }
        }
    }

    @Override
    public void close() {
        if (handle != null) {
            handle.close();
            handle = null;
        }
    }
}
