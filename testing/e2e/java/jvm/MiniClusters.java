import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;

/**
 * Runs a MiniCluster after another one in this JVM, each for a job whose function reports a span.
 *
 * <p>The arguments are the options of both, such as {@code traces.reporter.otlp.exporter.endpoint=http://127.0.0.1:4317}.
 */
public final class MiniClusters {
    public static void main(String[] arguments) throws Exception {
        Configuration configuration = new Configuration();
        for (String option : arguments) {
            String[] pair = option.split("=", 2);
            configuration.setString(pair[0], pair[1]);
        }
        for (int number = 0; number < 2; number++) {
            StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
            environment.fromSequence(1, 10).map(new Report(number)).sinkTo(new DiscardingSink<>());
            environment.execute("mini cluster " + number);
        }
    }

    /** Reports a span when it is opened. */
    private static final class Report extends RichMapFunction<Long, Long> {
        private final long number;

        Report(long number) {
            this.number = number;
        }

        @Override
        public void open(OpenContext context) {
            UserReports.span(getRuntimeContext().getMetricGroup(), "MiniSpan", number);
        }

        @Override
        public Long map(Long value) {
            return value;
        }
    }
}
