package io.flinktraces;

import org.apache.flink.traces.Span;
import org.apache.flink.traces.reporter.TraceReporter;
import org.apache.flink.metrics.MetricConfig;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Passes spans to a reporter of the native side. If that cannot be opened, it ignores them. */
final class NativeTraceReporter implements TraceReporter {
    private static final Logger LOG = LoggerFactory.getLogger(NativeTraceReporter.class);

    private final String destination;
    private final Class<?> factory;
    private Reporters.Handle handle;
    private boolean hasFailed;

    NativeTraceReporter(String destination, Class<?> factory) {
        this.destination = destination;
        this.factory = factory;
    }

    @Override
    public void open(MetricConfig options) {
        handle = Reporters.open("traces", destination, factory, options);
    }

    @Override
    public void notifyOfAddedSpan(Span span) {
        if (handle == null) {
            return;
        }
        try {
            handle.write(span);
        } catch (Throwable e) {
            // Flink would not catch an Error. The native side counts the span.
            if (!hasFailed) {
                hasFailed = true;
                LOG.warn("cannot encode a span, dropping it and counting further ones", e);
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
