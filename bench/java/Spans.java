package bench;

import org.apache.flink.traces.Span;
import org.apache.flink.traces.SpanBuilder;

/** The spans of a usual checkpoint. */
public final class Spans {
    public static final long START = 1_795_230_917_019L;

    private Spans() {}

    /** Returns a span of a checkpoint. */
    public static SpanBuilder checkpoint(Class<?> scope, String name, long number) {
        return span(scope, name, number)
                .setAttribute("fullSize", 187_221_004 + number)
                .setAttribute("checkpointedSize", 426_117 + number)
                .setAttribute("metadataSize", 9_241)
                .setAttribute("checkpointStatus", "COMPLETED")
                .setAttribute("checkpointType", "Checkpoint");
    }

    /** Returns a span of a task or a subtask. */
    public static SpanBuilder part(Class<?> scope, String name, long number) {
        return span(scope, name, number)
                .setAttribute("stateSizeBytes", 187_221_004 + number)
                .setAttribute("checkpointedSizeBytes", 426_117 + number)
                .setAttribute("checkpointStartDelayMs", 4)
                .setAttribute("alignmentDurationMs", 0)
                .setAttribute("syncCheckpointDurationMs", 3)
                .setAttribute("asyncCheckpointDurationMs", 17)
                .setAttribute("processedDataBytes", 0)
                .setAttribute("persistedDataBytes", 0)
                .setAttribute("e2eDurationMs", 23);
    }

    private static SpanBuilder span(Class<?> scope, String name, long number) {
        return Span.builder(scope, name)
                .setStartTsMillis(START)
                .setEndTsMillis(START + 411)
                .setAttribute("checkpointId", number);
    }
}
