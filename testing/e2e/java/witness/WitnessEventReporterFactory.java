package witness;

import java.util.Properties;
import org.apache.flink.events.Event;
import org.apache.flink.events.reporter.EventReporter;
import org.apache.flink.events.reporter.EventReporterFactory;
import org.apache.flink.metrics.MetricConfig;

/** Writes each event to a file. The option {@code path} is the directory. */
public final class WitnessEventReporterFactory implements EventReporterFactory {
    @Override
    public EventReporter createEventReporter(Properties properties) {
        return new EventReporter() {
            private WitnessFile file;

            @Override
            public void open(MetricConfig config) {
                file = new WitnessFile(config.getString("path", null), "events");
            }

            @Override
            public void notifyOfAddedEvent(Event event) {
                StringBuilder line = new StringBuilder();
                WitnessFile.text(line.append("{\"scope\":"), event.getClassScope());
                WitnessFile.text(line.append(",\"name\":"), event.getName());
                line.append(",\"observed\":").append(event.getObservedTsMillis());
                WitnessFile.text(line.append(",\"body\":"), event.getBody());
                WitnessFile.text(line.append(",\"severity\":"), event.getSeverity()).append(',');
                WitnessFile.attributes(line, event.getAttributes());
                file.write(line.append('}'));
            }

            @Override
            public void close() {}
        };
    }
}
