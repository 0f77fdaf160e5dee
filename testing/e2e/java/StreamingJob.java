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
 * Counts numbers by key, twice, until it is cancelled; fails once on the way.
 *
 * <p>Argument: after how many milliseconds the first attempt fails. Everything else (checkpoints, state backend,
 * restart strategy, parallelism) is the cluster's configuration.
 */
public final class StreamingJob {
    public static void main(String[] arguments) throws Exception {
        Duration failAfter = Duration.ofMillis(Long.parseLong(arguments[0]));
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment();
        DataGeneratorSource<Long> numbers =
                new DataGeneratorSource<>(
                        number -> number, Long.MAX_VALUE, RateLimiterStrategy.perSecond(2000), Types.LONG);
        environment
                .fromSource(numbers, WatermarkStrategy.noWatermarks(), "numbers")
                .keyBy(number -> number % 5000)
                .process(new Count(failAfter))
                .name("count")
                .keyBy(count -> count % 7)
                .process(new Count(null))
                .name("count counts")
                .sinkTo(new DiscardingSink<>())
                .name("discard")
                .setParallelism(1);
        environment.execute("end-to-end");
    }

    /** Emits how often the key of each number has been seen. */
    private static final class Count extends KeyedProcessFunction<Long, Long, Long> {
        private final Duration failAfter;
        private transient ValueState<Long> seen;
        private transient long openedNanos;

        Count(Duration failAfter) {
            this.failAfter = failAfter;
        }

        @Override
        public void open(OpenContext context) {
            seen = getRuntimeContext().getState(new ValueStateDescriptor<>("seen", Types.LONG));
            openedNanos = System.nanoTime();
        }

        @Override
        public void processElement(Long number, Context context, Collector<Long> out) throws Exception {
            failOnce();
            Long before = seen.value();
            long now = before == null ? 1 : before + 1;
            seen.update(now);
            out.collect(now);
        }

        private void failOnce() {
            boolean chosen = failAfter != null
                    && getRuntimeContext().getTaskInfo().getIndexOfThisSubtask() == 0
                    && getRuntimeContext().getTaskInfo().getAttemptNumber() == 0;
            if (chosen && System.nanoTime() - openedNanos > failAfter.toNanos()) {
                throw new IllegalStateException("the failure that this job was asked for");
            }
        }
    }
}
