package org.apache.flink.runtime.metrics;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;

import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ConfigurationFileMigrationUtils;
import org.apache.flink.configuration.GlobalConfiguration;
import org.apache.flink.configuration.TraceOptions;
import org.apache.flink.core.plugin.PluginManager;
import org.apache.flink.events.Event;
import org.apache.flink.events.EventBuilder;
import org.apache.flink.events.reporter.EventReporter;
import org.apache.flink.events.reporter.EventReporterFactory;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.runtime.metrics.filter.DefaultReporterFilters;
import org.apache.flink.traces.Span;
import org.apache.flink.traces.SpanBuilder;
import org.apache.flink.traces.reporter.TraceReporter;
import org.apache.flink.traces.reporter.TraceReporterFactory;

/**
 * Loads configuration files as Flink does, and prints keys and values, the reporters that Flink would run, and what their filters decide. It
 * stands in Flink's package because the options of a reporter are private to it.
 *
 * <p>How answers look is written in {@code load.rs}.
 */
public final class ConfigurationDriver {
    /** Logical scopes and names that filters are asked about; the same as in {@code load.rs}. */
    private static final String[] SCOPES = {"jobmanager.job", "jobmanager", "taskmanager.job.task", "jobmanagerXjob"};

    private static final String[] NAMES = {"Checkpoint", "JobInitialization", "Check", "checkpoint", "a b", ""};

    private final Path folder = Files.createTempDirectory("parity");

    public ConfigurationDriver() throws IOException {
        folder.toFile().deleteOnExit();
    }

    public void answer(List<String> question, StringBuilder answer) throws Exception {
        boolean isLegacy = question.get(0).endsWith("legacy");
        StringBuilder text = new StringBuilder();
        question.subList(1, question.size()).forEach(line -> text.append(line.substring(1)).append('\n'));
        Path file = folder.resolve(isLegacy ? "flink-conf.yaml" : "config.yaml");
        Files.writeString(file, text);
        Configuration configuration;
        try {
            configuration = isLegacy ? legacy(file) : GlobalConfiguration.loadConfiguration(folder.toString());
        } catch (RuntimeException broken) {
            answer.append("broken\n");
            return;
        } finally {
            Files.delete(file);
        }
        for (String key : new TreeSet<>(configuration.keySet())) {
            String value = configuration.get(ConfigOptions.key(key).stringType().noDefaultValue());
            answer.append("key ").append(escape(key)).append(" = ").append(escape(value)).append('\n');
        }
        String detail;
        try {
            detail = configuration.get(TraceOptions.CHECKPOINT_SPAN_DETAIL_LEVEL).name();
        } catch (IllegalArgumentException notOne) {
            detail = "invalid";
        }
        answer.append("detail ").append(detail).append('\n');
        Plugins plugins = new Plugins();
        SpanBuilder span = Span.builder(ConfigurationDriver.class, "any");
        EventBuilder event = Event.builder(ConfigurationDriver.class, "any");
        for (TraceReporterSetup setup : ReporterSetupBuilder.TRACE_SETUP_BUILDER.fromConfiguration(
                configuration, DefaultReporterFilters::tracesFromConfiguration, plugins)) {
            setup("traces", setup, span, answer);
        }
        for (EventReporterSetup setup : ReporterSetupBuilder.EVENT_SETUP_BUILDER.fromConfiguration(
                configuration, DefaultReporterFilters::eventsFromConfiguration, plugins)) {
            setup("events", setup, event, answer);
        }
    }

    private static Configuration legacy(Path file) {
        return Configuration.fromMap(ConfigurationFileMigrationUtils.loadLegacyYAMLResource(file.toFile()));
    }

    private static <R> void setup(String signal, AbstractReporterSetup<?, R> setup, R reported, StringBuilder answer) {
        answer.append("reporter ").append(signal).append(" '").append(setup.getName()).append("'\n");
        // Their values are those of the configuration.
        TreeSet<String> options = new TreeSet<>();
        setup.getConfiguration().keySet().forEach(key -> options.add((String) key));
        options.forEach(key -> answer.append(" option ").append(escape(key)).append('\n'));
        new TreeMap<>(setup.getAdditionalVariables()).forEach(
                (key, value) -> answer.append(" variable ").append(escape(key)).append(" = ").append(escape(value)).append('\n'));
        new TreeSet<>(setup.getExcludedVariables()).forEach(name -> answer.append(" excluded ").append(escape(name)).append('\n'));
        answer.append(" filter ");
        for (String scope : SCOPES) {
            for (String name : NAMES) {
                answer.append(setup.getFilter().filter(reported, name, scope) ? '1' : '0');
            }
        }
        answer.append('\n');
    }

    private static String escape(String text) {
        return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r");
    }

    /** What a reporter's jar would bring. */
    private static final class Plugins implements PluginManager {
        @Override
        public <P> Iterator<P> load(Class<P> service) {
            Object factory = service == TraceReporterFactory.class ? new TracesFactory() : new EventsFactory();
            return List.of(service.cast(factory)).iterator();
        }
    }

    /** Configured as {@code org.apache.flink.runtime.metrics.ConfigurationDriver$TracesFactory}. */
    private static final class TracesFactory implements TraceReporterFactory {
        @Override
        public TraceReporter createTraceReporter(Properties properties) {
            return new Nothing();
        }
    }

    private static final class EventsFactory implements EventReporterFactory {
        @Override
        public EventReporter createEventReporter(Properties properties) {
            return new Nothing();
        }
    }

    private static final class Nothing implements TraceReporter, EventReporter {
        @Override
        public void notifyOfAddedSpan(Span span) {}

        @Override
        public void notifyOfAddedEvent(Event event) {}

        @Override
        public void open(MetricConfig config) {}

        @Override
        public void close() {}
    }
}
