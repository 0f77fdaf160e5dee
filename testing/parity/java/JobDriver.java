package org.apache.flink.runtime.checkpoint;

import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;

import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MetricOptions;
import org.apache.flink.configuration.TraceOptions.CheckpointSpanDetailLevel;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.core.fs.Path;
import org.apache.flink.events.Event;
import org.apache.flink.events.reporter.EventReporter;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.Metric;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.reporter.MetricReporter;
import org.apache.flink.runtime.execution.ExecutionState;
import org.apache.flink.runtime.executiongraph.ExecutionAttemptID;
import org.apache.flink.runtime.executiongraph.ExecutionGraphID;
import org.apache.flink.runtime.executiongraph.failover.FailureHandlingResult;
import org.apache.flink.runtime.jobgraph.JobType;
import org.apache.flink.runtime.jobgraph.JobVertexID;
import org.apache.flink.runtime.jobmaster.JobMaster;
import org.apache.flink.runtime.metrics.MetricRegistryConfiguration;
import org.apache.flink.runtime.metrics.MetricRegistryImpl;
import org.apache.flink.runtime.metrics.ReporterSetupBuilder;
import org.apache.flink.runtime.metrics.groups.JobManagerJobMetricGroup;
import org.apache.flink.runtime.metrics.groups.JobManagerMetricGroup;
import org.apache.flink.runtime.scheduler.adaptive.JobFailureMetricReporter;
import org.apache.flink.runtime.scheduler.metrics.AllSubTasksRunningOrFinishedStateTimeMetrics;
import org.apache.flink.runtime.scheduler.strategy.ExecutionVertexID;
import org.apache.flink.runtime.state.StateObject;
import org.apache.flink.runtime.state.filesystem.FileStateHandle;
import org.apache.flink.runtime.util.stats.StatsSummary;
import org.apache.flink.runtime.util.stats.StatsSummarySnapshot;
import org.apache.flink.traces.Span;
import org.apache.flink.traces.reporter.TraceReporter;
import org.apache.flink.util.clock.Clock;
import org.apache.flink.util.clock.ManualClock;

/**
 * Does to Flink's classes what a sequence says happened to a job, and prints what they report. It stands in Flink's package because most of
 * what the checkpoint coordinator calls is private to it.
 *
 * <p>What the lines of a sequence mean is written in {@code sequence.rs}, how answers look in {@code replay.rs}.
 */
public final class JobDriver {
    /** Sequences are set long before; what is later was read from the machine's clock. */
    private static final long NOW = 1_600_000_000_000L;

    private static final double[] QUANTILES = {0.5, 0.9, 0.95, 0.99, 0.999};
    private static final ExecutionGraphID GRAPH = new ExecutionGraphID(new byte[16]);

    private final Recorder recorder = new Recorder();
    private final MetricRegistryImpl registry;
    private final Constructor<AllSubTasksRunningOrFinishedStateTimeMetrics> subtasksConstructor;
    private final Field dirty;
    private final Field jobGroup;
    private final Method jobStatusChanged;
    private final Constructor<?> jobMasterConstructor;

    private JobManagerJobMetricGroup group;
    private DefaultCheckpointStatsTracker tracker;
    private AllSubTasksRunningOrFinishedStateTimeMetrics subtasks;
    private ManualClock clock;
    private JobFailureMetricReporter failures;
    private JobMaster jobMaster;
    private final Map<Long, PendingCheckpointStats> pending = new HashMap<>();
    private final Map<Long, CompletedCheckpointStats> completed = new HashMap<>();
    private final Map<ExecutionAttemptID, ExecutionState> states = new HashMap<>();

    public JobDriver() throws Exception {
        registry = new MetricRegistryImpl(
                MetricRegistryConfiguration.fromConfiguration(new Configuration(), Long.MAX_VALUE),
                List.of(ReporterSetupBuilder.METRIC_SETUP_BUILDER.forReporter("parity", recorder)),
                List.of(ReporterSetupBuilder.TRACE_SETUP_BUILDER.forReporter("parity", recorder)),
                List.of(ReporterSetupBuilder.EVENT_SETUP_BUILDER.forReporter("parity", recorder)));
        subtasksConstructor = AllSubTasksRunningOrFinishedStateTimeMetrics.class.getDeclaredConstructor(
                JobType.class, MetricOptions.JobStatusMetricsSettings.class, Clock.class);
        subtasksConstructor.setAccessible(true);
        dirty = DefaultCheckpointStatsTracker.class.getDeclaredField("dirty");
        dirty.setAccessible(true);
        jobGroup = JobMaster.class.getDeclaredField("jobManagerJobMetricGroup");
        jobGroup.setAccessible(true);
        jobStatusChanged = jobStatusListener();
        // A JobMaster whose constructor, which starts half a cluster, does not run; its listener needs nothing but the metric group.
        jobMasterConstructor = sun.reflect.ReflectionFactory.getReflectionFactory()
                .newConstructorForSerialization(JobMaster.class, Object.class.getDeclaredConstructor());
    }

    /** The listener that JobMaster's constructor hands to its scheduler, a lambda. */
    private static Method jobStatusListener() throws NoSuchMethodException {
        for (Method method : JobMaster.class.getDeclaredMethods()) {
            List<Class<?>> parameters = List.of(method.getParameterTypes());
            if (method.isSynthetic() && parameters.equals(List.of(JobID.class, JobStatus.class, long.class))) {
                method.setAccessible(true);
                return method;
            }
        }
        throw new NoSuchMethodException("JobMaster's listener of job states");
    }

    public void answer(List<String> sequence, StringBuilder answer) throws Exception {
        begin(new Words(sequence.get(0)));
        for (String line : sequence.subList(1, sequence.size())) {
            Words words = new Words(line);
            apply(words.word(), words);
        }
        group.close();
        answer.append(recorder.take());
    }

    private void begin(Words words) throws Exception {
        words.word();
        int historySize = words.integer();
        CheckpointSpanDetailLevel detail = CheckpointSpanDetailLevel.valueOf(words.word());
        recorder.clear();
        JobID job = JobID.fromHexString("0a4480b1aa43ca25b4801a22462f387a");
        group = JobManagerMetricGroup.createJobManagerMetricGroup(registry, "localhost").addJob(job, "orders");
        tracker = new DefaultCheckpointStatsTracker(historySize, group, detail, null);
        clock = new ManualClock();
        subtasks = subtasksConstructor.newInstance(
                JobType.STREAMING, MetricOptions.JobStatusMetricsSettings.fromConfiguration(new Configuration()), clock);
        subtasks.registerMetrics(group);
        failures = new JobFailureMetricReporter(group);
        jobMaster = (JobMaster) jobMasterConstructor.newInstance();
        jobGroup.set(jobMaster, group);
        pending.clear();
        completed.clear();
        states.clear();
    }

    private void apply(String operation, Words words) throws Exception {
        switch (operation) {
            case "pending" -> pending(words);
            case "subtask" -> subtask(words);
            case "incomplete" -> incomplete(words);
            case "completed" -> completed(words);
            case "failed" -> failed(words);
            case "failed-before-trigger" -> tracker.reportFailedCheckpointsWithoutInProgress();
            case "discarded" -> discarded(words);
            case "many" -> many(words);
            case "initialization" -> initialization(words);
            case "restored" -> restored(words);
            case "attempt" -> attempt(words);
            case "location" -> location(words);
            case "status" -> status(words);
            case "failure" -> failure(words);
            case "state" -> state(words);
            case "snapshot" -> snapshot();
            default -> throw new IllegalArgumentException(operation);
        }
    }

    private void pending(Words words) {
        long id = words.number();
        long trigger = words.number();
        CheckpointProperties properties = properties(words.word());
        Map<JobVertexID, Integer> vertices = new HashMap<>();
        for (int vertex = 0; words.hasNext(); vertex++) {
            vertices.put(vertex(vertex), words.integer());
        }
        pending.put(id, tracker.reportPendingCheckpoint(id, trigger, properties, vertices));
    }

    private void subtask(Words words) {
        PendingCheckpointStats checkpoint = pending.get(words.number());
        JobVertexID vertex = vertex(words.integer());
        int index = words.integer();
        long ack = words.number();
        boolean unaligned = words.flag();
        long[] metrics = words.numbers(8);
        SubtaskStateStats stats = new SubtaskStateStats(index, ack, metrics[1], metrics[0], metrics[4], metrics[5], metrics[6], metrics[7],
                metrics[3], metrics[2], unaligned, true);
        boolean taken = checkpoint != null && checkpoint.reportSubtaskStats(vertex, stats);
        recorder.line("taken " + taken);
    }

    private void incomplete(Words words) {
        long id = words.number();
        int vertex = words.integer();
        int index = words.integer();
        boolean unaligned = words.flag();
        long[] metrics = words.numbers(8);
        CheckpointMetrics checkpointMetrics = new CheckpointMetrics(metrics[6], metrics[7], metrics[3] * 1_000_000, metrics[4], metrics[5],
                metrics[2] * 1_000_000, unaligned, metrics[1], metrics[0]);
        tracker.reportIncompleteStats(id, attemptId(vertex, index, 0), checkpointMetrics);
    }

    private void completed(Words words) {
        long id = words.number();
        PendingCheckpointStats checkpoint = pending.remove(id);
        if (checkpoint != null) {
            CompletedCheckpointStats stats = checkpoint.toCompletedCheckpointStats(words.word(), words.number());
            completed.put(id, stats);
            tracker.reportCompletedCheckpoint(stats);
        }
    }

    private void failed(Words words) {
        PendingCheckpointStats checkpoint = pending.remove(words.number());
        if (checkpoint != null) {
            tracker.reportFailedCheckpoint(checkpoint.toFailedCheckpoint(words.number(), new Exception(words.word())));
        }
    }

    private void discarded(Words words) {
        CompletedCheckpointStats stats = completed.get(words.number());
        if (stats != null) {
            stats.discard();
        }
    }

    /** Checkpoints of one subtask, to fill the window of quantiles; their spans are not printed. */
    private void many(Words words) {
        long first = words.number();
        long count = words.number();
        recorder.muted = true;
        for (long id = first; id < first + count; id++) {
            PendingCheckpointStats checkpoint = tracker.reportPendingCheckpoint(id, 1_000, properties("CHECKPOINT"), Map.of(vertex(0), 1));
            long value = (id * 7919) % 10_007;
            checkpoint.reportSubtaskStats(vertex(0),
                    new SubtaskStateStats(0, 1_000 + value, value / 3, value, 0, 0, value * 5, value / 7, 0, 0, false, true));
            tracker.reportCompletedCheckpoint(checkpoint.toCompletedCheckpointStats("path", 1));
        }
        recorder.muted = false;
    }

    private void initialization(Words words) {
        long start = words.number();
        Set<ExecutionAttemptID> attempts = new HashSet<>();
        while (words.hasNext()) {
            attempts.add(attemptId(words));
        }
        recorder.initialized = false;
        tracker.reportInitializationStarted(attempts, start);
    }

    private void restored(Words words) {
        long id = words.number();
        CheckpointProperties properties = properties(words.word());
        String path = words.word();
        tracker.reportRestoredCheckpoint(id, properties, path, words.number());
    }

    private void attempt(Words words) {
        ExecutionAttemptID attempt = attemptId(words);
        SubTaskInitializationMetricsBuilder builder = new SubTaskInitializationMetricsBuilder(1);
        long end = words.number();
        builder.setStatus(InitializationStatus.valueOf(words.word()));
        while (words.hasNext()) {
            builder.addDurationMetric(words.word(), words.number());
        }
        tracker.reportInitializationMetrics(attempt, builder.build(end));
    }

    private void location(Words words) {
        StateObject.StateObjectSizeStatsCollector collector = StateObject.StateObjectSizeStatsCollector.create();
        new FileStateHandle(new Path(words.word()), 1).collectSizeStats(collector);
        recorder.line("location " + collector.getStats().keySet().iterator().next());
    }

    private void status(Words words) throws Exception {
        JobStatus status = JobStatus.valueOf(words.word());
        jobStatusChanged.invoke(jobMaster, new JobID(), status, words.number());
    }

    private void failure(Words words) {
        long timestamp = words.number();
        boolean canRestart = words.flag();
        boolean global = words.flag();
        Map<String, String> labels = new HashMap<>();
        while (words.hasNext()) {
            String key = words.word();
            String value = words.word();
            labels.put(key, value == null ? "" : value);
        }
        Exception error = new Exception("out of luck");
        FailureHandlingResult result = canRestart
                ? FailureHandlingResult.restartable(null, error, timestamp, CompletableFuture.completedFuture(labels), Set.of(), 0, global, true)
                : FailureHandlingResult.unrecoverable(null, error, timestamp, CompletableFuture.completedFuture(labels), global, true);
        failures.reportJobFailure(result, labels);
    }

    private void state(Words words) {
        long now = words.number();
        clock.advanceTime(java.time.Duration.ofMillis(now - clock.absoluteTimeMillis()));
        ExecutionAttemptID attempt = attemptId(words);
        ExecutionState next = ExecutionState.valueOf(words.word());
        ExecutionState previous = states.put(attempt, next);
        subtasks.onStateUpdate(attempt, previous == null ? ExecutionState.CREATED : previous, next);
    }

    private void snapshot() throws Exception {
        // Flink shows the snapshot before, unless something marked it as out of date; what a subtask reports does not.
        dirty.setBoolean(tracker, true);
        CheckpointStatsSnapshot snapshot = tracker.createSnapshot();
        CheckpointStatsCounts counts = snapshot.getCounts();
        recorder.line("counts " + counts.getNumberOfRestoredCheckpoints() + " " + counts.getTotalNumberOfCheckpoints() + " "
                + counts.getNumberOfInProgressCheckpoints() + " " + counts.getNumberOfCompletedCheckpoints() + " "
                + counts.getNumberOfFailedCheckpoints());
        CompletedCheckpointStatsSummarySnapshot summary = snapshot.getSummaryStats();
        summary("state", summary.getStateSizeStats());
        summary("checkpointed", summary.getCheckpointedSize());
        summary("duration", summary.getEndToEndDurationStats());
        summary("processed", summary.getProcessedDataStats());
        summary("persisted", summary.getPersistedDataStats());
        for (AbstractCheckpointStats checkpoint : snapshot.getHistory().getCheckpoints()) {
            checkpoint("history", checkpoint);
        }
        checkpoint("latest-completed", snapshot.getHistory().getLatestCompletedCheckpoint());
        checkpoint("latest-savepoint", snapshot.getHistory().getLatestSavepoint());
        checkpoint("latest-failed", snapshot.getHistory().getLatestFailedCheckpoint());
        RestoredCheckpointStats restored = snapshot.getLatestRestoredCheckpoint();
        if (restored != null) {
            recorder.line("latest-restored " + restored.getCheckpointId() + " " + restored.getRestoreTimestamp() + " "
                    + restored.getProperties().isSavepoint() + " " + text(restored.getExternalPath()) + " " + restored.getStateSize());
        }
        recorder.gauges.forEach((name, gauge) -> recorder.line("gauge " + name + " " + gauge.getValue()));
    }

    private void summary(String name, StatsSummarySnapshot stats) {
        StringBuilder line = new StringBuilder("summary " + name + " " + numbers(stats));
        for (double quantile : QUANTILES) {
            line.append(' ').append(Long.toHexString(Double.doubleToLongBits(stats.getQuantile(quantile))));
        }
        recorder.line(line.toString());
    }

    private static String numbers(StatsSummarySnapshot stats) {
        return stats.getMinimum() + " " + stats.getMaximum() + " " + stats.getAverage() + " " + stats.getSum() + " " + stats.getCount();
    }

    private void checkpoint(String label, AbstractCheckpointStats checkpoint) {
        if (checkpoint == null) {
            return;
        }
        StringBuilder line = new StringBuilder(label);
        add(line, checkpoint.getCheckpointId(), checkpoint.getTriggerTimestamp(), checkpoint.getStatus(),
                checkpoint.getProperties().getCheckpointType().getName().replace(' ', '_'), checkpoint.getNumberOfSubtasks(),
                checkpoint.getNumberOfAcknowledgedSubtasks(), checkpoint.getStateSize(), checkpoint.getCheckpointedSize(),
                checkpoint.getMetadataSize(), checkpoint.getProcessedData(), checkpoint.getPersistedData(),
                checkpoint.isUnalignedCheckpoint(), checkpoint.getLatestAckTimestamp(), checkpoint.getEndToEndDuration());
        if (checkpoint instanceof CompletedCheckpointStats) {
            CompletedCheckpointStats stats = (CompletedCheckpointStats) checkpoint;
            add(line, text(stats.getExternalPath()), stats.isDiscarded());
        } else if (checkpoint instanceof FailedCheckpointStats) {
            FailedCheckpointStats stats = (FailedCheckpointStats) checkpoint;
            add(line, stats.getFailureTimestamp(), text(stats.getFailureMessage()));
        }
        recorder.line(line.toString());
        checkpoint.getAllTaskStateStats().forEach(this::task);
    }

    private void task(TaskStateStats task) {
        StringBuilder line = new StringBuilder(" task");
        add(line, task.getJobVertexId(), task.getNumberOfSubtasks(), task.getNumberOfAcknowledgedSubtasks(), task.getLatestAckTimestamp());
        recorder.line(line.toString());
        TaskStateStats.TaskStateStatsSummary summary = task.getSummaryStats();
        for (StatsSummary stats : List.of(summary.getStateSizeStats(), summary.getCheckpointedSize(), summary.getCheckpointStartDelayStats(),
                summary.getAlignmentDurationStats(), summary.getSyncCheckpointDurationStats(), summary.getAsyncCheckpointDurationStats(),
                summary.getProcessedDataStats(), summary.getPersistedDataStats(), summary.getAckTimestampStats())) {
            recorder.line("  summary " + numbers(stats.createSnapshot()) + " " + stats.createSnapshot().getQuantile(0.5));
        }
        for (SubtaskStateStats stats : task.getSubtaskStats()) {
            if (stats != null) {
                StringBuilder subtask = new StringBuilder("  subtask");
                add(subtask, stats.getSubtaskIndex(), time(stats.getAckTimestamp()), stats.getUnalignedCheckpoint(), stats.isCompleted(),
                        stats.getStateSize(), stats.getCheckpointedSize(), stats.getCheckpointStartDelay(), stats.getAlignmentDuration(),
                        stats.getSyncCheckpointDuration(), stats.getAsyncCheckpointDuration(), stats.getProcessedData(),
                        stats.getPersistedData());
                recorder.line(subtask.toString());
            }
        }
    }

    private static void add(StringBuilder line, Object... values) {
        for (Object value : values) {
            line.append(' ').append(value);
        }
    }

    private static String text(String text) {
        return text == null ? "-" : text;
    }

    private static String time(long timestamp) {
        return timestamp >= NOW ? "now" : Long.toString(timestamp);
    }

    private static JobVertexID vertex(int number) {
        return new JobVertexID(number, 0);
    }

    private static ExecutionAttemptID attemptId(Words words) {
        return attemptId(words.integer(), words.integer(), words.integer());
    }

    private static ExecutionAttemptID attemptId(int vertex, int index, int attempt) {
        return new ExecutionAttemptID(GRAPH, new ExecutionVertexID(vertex(vertex), index), attempt);
    }

    private static CheckpointProperties properties(String type) {
        SnapshotType snapshotType = switch (type) {
            case "CHECKPOINT" -> CheckpointType.CHECKPOINT;
            case "FULL_CHECKPOINT" -> CheckpointType.FULL_CHECKPOINT;
            case "SAVEPOINT" -> SavepointType.savepoint(SavepointFormatType.CANONICAL);
            case "TERMINATE" -> SavepointType.terminate(SavepointFormatType.CANONICAL);
            case "SUSPEND" -> SavepointType.suspend(SavepointFormatType.NATIVE);
            default -> throw new IllegalArgumentException(type);
        };
        return new CheckpointProperties(false, snapshotType, true, true, true, true, true, false);
    }

    /** The words of a line, one after the other; {@code -} stands for nothing. */
    private static final class Words {
        private final String[] words;
        private int next;

        Words(String line) {
            words = line.split(" ");
        }

        boolean hasNext() {
            return next < words.length;
        }


        String word() {
            String word = words[next++];
            return word.equals("-") ? null : word;
        }

        long number() {
            return Long.parseLong(words[next++]);
        }

        long[] numbers(int count) {
            long[] numbers = new long[count];
            for (int place = 0; place < count; place++) {
                numbers[place] = number();
            }
            return numbers;
        }

        int integer() {
            return Math.toIntExact(number());
        }

        boolean flag() {
            return words[next++].equals("true");
        }
    }

    /** Keeps everything that is reported, as lines. */
    private static final class Recorder implements TraceReporter, EventReporter, MetricReporter {
        final Map<String, Gauge<?>> gauges = new TreeMap<>();
        private final StringBuilder lines = new StringBuilder();
        boolean muted;
        /** Whether the initialization that is going on was reported: Flink does so again for each report that comes later. */
        boolean initialized;

        void line(String line) {
            lines.append(line).append('\n');
        }

        void clear() {
            gauges.clear();
            lines.setLength(0);
        }

        String take() {
            return lines.toString();
        }

        @Override
        public void notifyOfAddedSpan(Span span) {
            if (span.getName().equals("JobInitialization")) {
                if (initialized) {
                    return;
                }
                initialized = true;
            }
            if (!muted) {
                span("span", span);
            }
        }

        private void span(String indentation, Span span) {
            line(indentation + " " + span.getName() + " " + span.getScope() + " " + time(span.getStartTsMillis()) + " "
                    + time(span.getEndTsMillis()) + attributes(span.getAttributes()));
            span.getChildren().forEach(child -> span(" " + indentation, child));
        }

        @Override
        public void notifyOfAddedEvent(Event event) {
            if (!muted) {
                line("event " + event.getName() + " " + event.getClassScope() + " " + time(event.getObservedTsMillis()) + " "
                        + event.getSeverity() + " '" + event.getBody() + "'" + attributes(event.getAttributes()));
            }
        }

        private static String attributes(Map<String, Object> attributes) {
            StringBuilder text = new StringBuilder();
            new TreeMap<>(attributes).forEach((key, value) -> {
                text.append(' ').append(key).append('=');
                text.append(value instanceof String ? "'" + value + "'" : value);
            });
            return text.toString();
        }

        @Override
        public void notifyOfAddedMetric(Metric metric, String name, MetricGroup group) {
            if (metric instanceof Gauge && name.matches(".*Checkpoint.*")) {
                gauges.put(name, (Gauge<?>) metric);
            }
        }

        @Override
        public void notifyOfRemovedMetric(Metric metric, String name, MetricGroup group) {}

        @Override
        public void open(MetricConfig config) {}

        @Override
        public void close() {}
    }
}
