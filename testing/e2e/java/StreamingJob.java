import java.time.Duration;

import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.source.util.ratelimit.RateLimiterStrategy;
import org.apache.flink.connector.datagen.source.DataGeneratorSource;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.util.Collector;

/**
 * Counts numbers by key, twice, until it is cancelled, with a fault on the way.
 *
 * <p>Arguments: the milliseconds from the start of an attempt until the fault, and its kind, {@code fail-once} by
 * default. The third argument {@code report} makes the first function report spans and events. Everything else (checkpoints, state backend, restart strategy, parallelism) is the cluster's configuration.
 */
public final class StreamingJob {
    public static void main(String[] arguments) throws Exception {
        Duration faultAfter = Duration.ofMillis(Long.parseLong(arguments[0]));
        Fault fault = arguments.length < 2 ? Fault.FAIL_ONCE : Fault.valueOf(arguments[1].toUpperCase().replace('-', '_'));
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment();
        DataGeneratorSource<Long> numbers =
                new DataGeneratorSource<>(
                        number -> number, Long.MAX_VALUE, RateLimiterStrategy.perSecond(2000), Types.LONG);
        environment
                .fromSource(numbers, WatermarkStrategy.noWatermarks(), "numbers")
                .keyBy(number -> number % 5000)
                .process(new Count(faultAfter, fault, arguments.length > 2))
                .name("count")
                .keyBy(count -> count % 7)
                .process(new Count(null, null, false))
                .name("count counts")
                .sinkTo(new DiscardingSink<>())
                .name("discard")
                .setParallelism(1);
        environment.execute("end-to-end");
    }

    /** What the first subtask does. */
    private enum Fault {
        /** Fails in the first attempt. */
        FAIL_ONCE,
        /** Fails in every attempt. */
        FAIL_ALWAYS,
        /** Processes nothing any more, so that no checkpoint completes. */
        BLOCK
    }

    /** Emits how often the key of each number has been seen. */
    private static final class Count extends KeyedProcessFunction<Long, Long, Long> {
        private final Duration faultAfter;
        private final Fault fault;
        private final boolean reports;
        private transient ValueState<Long> seen;
        private transient long openedNanos;

        Count(Duration faultAfter, Fault fault, boolean reports) {
            this.faultAfter = faultAfter;
            this.fault = fault;
            this.reports = reports;
        }

        @Override
        public void open(OpenContext context) {
            seen = getRuntimeContext().getState(new ValueStateDescriptor<>("seen", Types.LONG));
            openedNanos = System.nanoTime();
            report("Opened", getRuntimeContext().getTaskInfo().getAttemptNumber());
        }

        @Override
        public void processElement(Long number, Context context, Collector<Long> out) throws Exception {
            misbehave();
            if (number % 500 == 0) {
                report("Progress", number);
            }
            Long before = seen.value();
            long now = before == null ? 1 : before + 1;
            seen.update(now);
            out.collect(now);
        }

        private void report(String name, long number) {
            if (reports) {
                UserReports.span(getRuntimeContext().getMetricGroup(), name + "Span", number);
                UserReports.event(getRuntimeContext().getMetricGroup(), name + "Event", number);
            }
        }

        private void misbehave() throws InterruptedException {
            boolean chosen = fault != null
                    && getRuntimeContext().getTaskInfo().getIndexOfThisSubtask() == 0
                    && (fault != Fault.FAIL_ONCE || getRuntimeContext().getTaskInfo().getAttemptNumber() == 0);
            if (chosen && System.nanoTime() - openedNanos > faultAfter.toNanos()) {
                if (fault == Fault.BLOCK) {
                    Thread.sleep(Long.MAX_VALUE);
                }
                throw new IllegalStateException("the failure that this job was asked for");
            }
        }
    }
}
