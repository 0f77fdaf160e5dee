package org.apache.flink.runtime.checkpoint;

import bench.Spans;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.lang.reflect.Field;
import java.net.URI;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

import org.apache.flink.api.common.JobID;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.TraceOptions.CheckpointSpanDetailLevel;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.runtime.executiongraph.ExecutionAttemptID;
import org.apache.flink.runtime.executiongraph.ExecutionGraphID;
import org.apache.flink.runtime.jobgraph.JobVertexID;
import org.apache.flink.runtime.metrics.MetricRegistryConfiguration;
import org.apache.flink.runtime.metrics.MetricRegistryImpl;
import org.apache.flink.runtime.metrics.ReporterSetupBuilder;
import org.apache.flink.runtime.metrics.groups.JobManagerJobMetricGroup;
import org.apache.flink.runtime.metrics.groups.JobManagerMetricGroup;
import org.apache.flink.runtime.scheduler.strategy.ExecutionVertexID;
import org.apache.flink.traces.Span;
import org.apache.flink.traces.SpanBuilder;
import org.apache.flink.traces.otel.OpenTelemetryTraceReporter;
import org.apache.flink.traces.reporter.TraceReporter;
import org.apache.flink.traces.slf4j.Slf4jTraceReporter;

import io.opentelemetry.sdk.trace.SdkTracerProvider;

/**
 * Measures Flink's registry, trackers and reporters with the same work as the other programs.
 *
 * <p>The class is in a package of Flink, because the checkpoint coordinator uses package-private
 * methods.
 *
 * <p>The arguments are the kind of work, its amount and the address of the sink. Prints the numbers
 * as a line of JSON.
 */
public final class Bench {
    private static final long START = Spans.START;
    /** A number of spans that fits into the queue of the reporter, which holds 2,048. */
    private static final int CHUNK = 1500;
    private static final JobID JOB = JobID.fromHexString("0a4480b1aa43ca25b4801a22462f387a");

    private final String sink;

    private Bench(String sink) {
        this.sink = sink;
    }

    public static void main(String[] arguments) throws Exception {
        Bench bench = new Bench(arguments[2]);
        int size = Integer.parseInt(arguments[1]);
        Map<String, Double> numbers;
        switch (arguments[0]) {
            case "add" -> numbers = bench.add(size);
            case "paced" -> numbers = bench.paced(size);
            case "tree" -> numbers = bench.tree(size);
            case "checkpoint" -> numbers = bench.checkpoint(size);
            case "grpc" -> numbers = bench.export(size, "gRPC");
            case "http" -> numbers = bench.export(size, "HTTP");
            case "initialization" -> numbers = bench.initialization(size);
            case "file" -> numbers = bench.file(size);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        List<String> members = new ArrayList<>();
        numbers.forEach((name, number) -> members.add("\"" + name + "\":" + number));
        System.out.println("{" + String.join(",", members) + "}");
        // The threads of the reporters would keep the process alive.
        System.exit(0);
    }

    private static JobManagerJobMetricGroup group(TraceReporter reporter, Properties options) {
        MetricConfig config = new MetricConfig();
        config.putAll(options);
        MetricRegistryImpl registry = new MetricRegistryImpl(
                MetricRegistryConfiguration.fromConfiguration(new Configuration(), Long.MAX_VALUE),
                List.of(),
                List.of(ReporterSetupBuilder.TRACE_SETUP_BUILDER.forReporter("r", config, reporter)),
                List.of());
        return JobManagerMetricGroup.createJobManagerMetricGroup(registry, "jobmanager-0.internal").addJob(JOB, "State machine job");
    }

    private Properties options(String protocol) {
        Properties options = new Properties();
        String path = protocol.equals("HTTP") ? "/v1/traces" : "";
        options.setProperty("exporter.endpoint", "http://" + sink + path);
        options.setProperty("exporter.protocol", protocol);
        return options;
    }

    private static void flush(OpenTelemetryTraceReporter reporter) throws Exception {
        Field field = OpenTelemetryTraceReporter.class.getDeclaredField("tracerProvider");
        field.setAccessible(true);
        ((SdkTracerProvider) field.get(reporter)).forceFlush().join(60, TimeUnit.SECONDS);
    }

    private long received() throws IOException {
        return get("/count");
    }

    private long get(String path) throws IOException {
        URL url = URI.create("http://" + sink + path).toURL();
        try (InputStream answer = url.openStream()) {
            return Long.parseLong(new String(answer.readAllBytes(), StandardCharsets.UTF_8).trim());
        }
    }

    private static SpanBuilder span(String name, long number) {
        return Spans.checkpoint(CheckpointStatsTracker.class, name, number);
    }

    private static SpanBuilder part(String name, long number) {
        return Spans.part(CheckpointStatsTracker.class, name, number);
    }

    private static long threadTime() {
        return ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
    }

    private static long processTime() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    private static double median(List<Double> goes) {
        List<Double> warm = new ArrayList<>(goes.subList(goes.size() / 4, goes.size()));
        warm.sort(null);
        return warm.get(warm.size() / 2);
    }

    /** Measures the cost of adding a span, for the caller. */
    private Map<String, Double> add(int size) throws Exception {
        OpenTelemetryTraceReporter reporter = new OpenTelemetryTraceReporter();
        JobManagerJobMetricGroup group = group(reporter, options("gRPC"));
        List<Double> goes = new ArrayList<>();
        for (int chunk = 0; chunk < size / CHUNK; chunk++) {
            List<SpanBuilder> spans = new ArrayList<>();
            for (int number = 0; number < CHUNK; number++) {
                spans.add(span("Checkpoint", (long) chunk * CHUNK + number));
            }
            long start = threadTime();
            spans.forEach(group::addSpan);
            goes.add((threadTime() - start) / (double) CHUNK);
            flush(reporter);
        }
        return Map.of("caller", median(goes));
    }

    /** Measures by the wall how long it takes to build and add a span, with {@code rate} spans a second. */
    private Map<String, Double> paced(int rate) throws Exception {
        OpenTelemetryTraceReporter reporter = new OpenTelemetryTraceReporter();
        JobManagerJobMetricGroup group = group(reporter, options("gRPC"));
        int measured = rate * 10;
        pacedCalls(group, rate, new long[rate]);
        long[] taken = new long[measured];
        long before = get("/requests");
        long wall = System.nanoTime();
        pacedCalls(group, rate, taken);
        wall = System.nanoTime() - wall;
        double requests = get("/requests") - before;
        Arrays.sort(taken);
        Map<String, Double> numbers = new LinkedHashMap<>();
        numbers.put("p50", (double) taken[measured / 2]);
        numbers.put("p99", (double) taken[measured / 100 * 99]);
        numbers.put("requests", requests * 1e9 / wall);
        return numbers;
    }

    private static void pacedCalls(JobManagerJobMetricGroup group, int rate, long[] taken) {
        long start = System.nanoTime();
        for (int number = 0; number < taken.length; number++) {
            long due = start + number * 1_000_000_000L / rate;
            // A sleep ends late. The rest of the time passes in a loop.
            long sleep = due - System.nanoTime() - 200_000;
            if (sleep > 0) {
                LockSupport.parkNanos(sleep);
            }
            while (System.nanoTime() < due) {
                Thread.onSpinWait();
            }
            long at = System.nanoTime();
            group.addSpan(span("Checkpoint", number));
            taken[number] = System.nanoTime() - at;
        }
    }

    /** Measures the cost of adding a tree after a warm-up, and the delivered share of it. */
    private Map<String, Double> tree(int subtasks) throws Exception {
        OpenTelemetryTraceReporter reporter = new OpenTelemetryTraceReporter();
        JobManagerJobMetricGroup group = group(reporter, options("gRPC"));
        List<Double> callers = new ArrayList<>();
        List<Double> drained = new ArrayList<>();
        List<Double> kept = new ArrayList<>();
        for (int go = 0; go < 8; go++) {
            long before = received();
            SpanBuilder root = span("Checkpoint", go);
            int tasks = subtasks / 1000;
            for (int task = 0; task < tasks; task++) {
                SpanBuilder parent = part("Checkpoint_Task", task);
                for (int subtask = 0; subtask < 1000; subtask++) {
                    parent.addChild(part("Checkpoint_Subtask", subtask));
                }
                root.addChild(parent);
            }
            long wall = System.nanoTime();
            long start = threadTime();
            group.addSpan(root);
            callers.add((double) (threadTime() - start));
            flush(reporter);
            drained.add((double) (System.nanoTime() - wall));
            kept.add((received() - before) * 100.0 / (1 + tasks + subtasks));
        }
        return Map.of("caller", median(callers), "drained", median(drained), "kept", median(kept));
    }

    private static JobVertexID vertex(int number) {
        return new JobVertexID(0, number);
    }

    /** Measures a checkpoint on the main thread of the JobMaster. */
    private Map<String, Double> checkpoint(int subtasks) throws Exception {
        OpenTelemetryTraceReporter reporter = new OpenTelemetryTraceReporter();
        JobManagerJobMetricGroup group = group(reporter, options("gRPC"));
        DefaultCheckpointStatsTracker tracker =
                new DefaultCheckpointStatsTracker(10, group, CheckpointSpanDetailLevel.CHILDREN_SPANS_PER_SUBTASK, null);
        CheckpointProperties properties = CheckpointProperties.forCheckpoint(CheckpointRetentionPolicy.NEVER_RETAIN_AFTER_TERMINATION);
        int tasks = subtasks / 1000;
        Map<JobVertexID, Integer> vertices = new HashMap<>();
        for (int task = 0; task < tasks; task++) {
            vertices.put(vertex(task), 1000);
        }
        List<Double> acknowledged = new ArrayList<>();
        List<Double> completed = new ArrayList<>();
        for (int id = 0; id < 40; id++) {
            long at = START + id * 1000L;
            long start = threadTime();
            PendingCheckpointStats pending = tracker.reportPendingCheckpoint(id, at, properties, vertices);
            for (int task = 0; task < tasks; task++) {
                for (int index = 0; index < 1000; index++) {
                    pending.reportSubtaskStats(vertex(task),
                            new SubtaskStateStats(index, at + 23, 426, 18_722, 3, 17, 0, 0, 0, 4, false, true));
                }
            }
            acknowledged.add((double) (threadTime() - start));
            start = threadTime();
            tracker.reportCompletedCheckpoint(pending.toCompletedCheckpointStats("path", 9241));
            completed.add((double) (threadTime() - start));
            flush(reporter);
        }
        return Map.of("acknowledged", median(acknowledged), "caller", median(completed));
    }

    /** Measures the cost of a span from the caller to the collector, without overflow of the queue. */
    private Map<String, Double> export(int size, String protocol) throws Exception {
        OpenTelemetryTraceReporter reporter = new OpenTelemetryTraceReporter();
        JobManagerJobMetricGroup group = group(reporter, options(protocol));
        exportChunks(reporter, group, size / 2);
        long before = received();
        long wall = System.nanoTime();
        long cpu = processTime();
        exportChunks(reporter, group, size);
        cpu = processTime() - cpu;
        wall = System.nanoTime() - wall;
        double kept = received() - before;
        Map<String, Double> numbers = new LinkedHashMap<>();
        numbers.put("cpu", cpu / (double) size);
        numbers.put("per second", kept / wall * 1e9);
        numbers.put("kept", kept / size * 100);
        return numbers;
    }

    private static void exportChunks(OpenTelemetryTraceReporter reporter, JobManagerJobMetricGroup group, int size) throws Exception {
        for (int from = 0; from < size; from += CHUNK) {
            for (int number = from; number < Math.min(size, from + CHUNK); number++) {
                group.addSpan(span("Checkpoint", number));
            }
            flush(reporter);
        }
    }

    private static final String[] DURATIONS = {
        "MailboxStartDurationMs",
        "ReadOutputDataDurationMs",
        "InitializeStateDurationMs",
        "GateRestoreDurationMs",
        "DownloadStateDurationMs",
        "RestoreStateDurationMs",
    };

    /** Measures an initialization, from the reports of the subtasks to the span. */
    private Map<String, Double> initialization(int subtasks) {
        JobManagerJobMetricGroup group = group(new Nowhere(), new Properties());
        DefaultCheckpointStatsTracker tracker = new DefaultCheckpointStatsTracker(10, group);
        ExecutionGraphID graph = new ExecutionGraphID(new byte[16]);
        List<ExecutionAttemptID> attempts = new ArrayList<>();
        List<SubTaskInitializationMetrics> reports = new ArrayList<>();
        for (int number = 0; number < subtasks; number++) {
            attempts.add(new ExecutionAttemptID(graph, new ExecutionVertexID(vertex(number / 1000), number % 1000), 0));
            SubTaskInitializationMetricsBuilder builder = new SubTaskInitializationMetricsBuilder(START);
            builder.setStatus(InitializationStatus.COMPLETED);
            for (String duration : DURATIONS) {
                builder.addDurationMetric(duration, number % 97);
            }
            reports.add(builder.build(START + 40));
        }
        List<Double> goes = new ArrayList<>();
        for (int go = 0; go < 40; go++) {
            Set<ExecutionAttemptID> all = new HashSet<>(attempts);
            long start = threadTime();
            tracker.reportInitializationStarted(all, START);
            for (int number = 0; number < subtasks; number++) {
                tracker.reportInitializationMetrics(attempts.get(number), reports.get(number));
            }
            goes.add((threadTime() - start) / (double) subtasks);
        }
        return Map.of("cpu", median(goes));
    }

    /** Measures the cost of a span in a log file, with the log4j configuration of Flink. */
    private Map<String, Double> file(int size) throws Exception {
        Path folder = Files.createTempDirectory("bench");
        Path log = folder.resolve("spans.log");
        Path configuration = folder.resolve("log4j.properties");
        Files.write(configuration, List.of(
                "rootLogger.level = INFO",
                "rootLogger.appenderRef.file.ref = F",
                "appender.file.name = F",
                "appender.file.type = File",
                "appender.file.fileName = " + log,
                "appender.file.layout.type = PatternLayout",
                "appender.file.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %-60c %x - %m%n"));
        System.setProperty("log4j2.configurationFile", configuration.toString());
        JobManagerJobMetricGroup group = group(new Slf4jTraceReporter(), new Properties());
        for (int number = 0; number < size / 2; number++) {
            group.addSpan(span("Checkpoint", number));
        }
        long wall = System.nanoTime();
        long cpu = processTime();
        for (int number = 0; number < size; number++) {
            group.addSpan(span("Checkpoint", number));
        }
        cpu = processTime() - cpu;
        wall = System.nanoTime() - wall;
        long lines;
        try (var all = Files.lines(log)) {
            lines = all.filter(line -> line.contains("checkpointId")).count();
        }
        for (Path file : Arrays.asList(log, configuration, folder)) {
            Files.delete(file);
        }
        if (lines != size + size / 2) {
            throw new IllegalStateException(lines + " lines");
        }
        return Map.of("cpu", cpu / (double) size, "per second", size * 1e9 / wall);
    }

    /** A reporter that discards its spans. */
    private static final class Nowhere implements TraceReporter {
        @Override
        public void open(MetricConfig config) {}

        @Override
        public void close() {}

        @Override
        public void notifyOfAddedSpan(Span span) {}
    }
}
