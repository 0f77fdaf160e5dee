import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.traces.Span;
import org.apache.flink.traces.SpanBuilder;

/** Spans and events that a function reports by itself, as far as the version of Flink has them. */
final class UserReports {
    private UserReports() {}

    static void span(MetricGroup group, String name, long number) {
        long now = System.currentTimeMillis();
        SpanBuilder span = Span.builder(UserReports.class, name)
                .setStartTsMillis(now - 5)
                .setEndTsMillis(now)
                .setAttribute("number", number)
                .setAttribute("ratio", 0.1 * number)
                .setAttribute("text", "a\u00fc\u4e16\ud83d\ude00 \"quoted\"\n\u0001");
        call(span, "setAttribute", String.class, "flag", boolean.class, number % 2 == 0);
        group.addSpan(span);
    }

    /** Reports an event, by reflection because this class also runs in versions without events. */
    static void event(MetricGroup group, String name, long number) {
        try {
            Class<?> type = Class.forName("org.apache.flink.events.EventBuilder");
            Object event = type.getConstructor(Class.class, String.class).newInstance(UserReports.class, name);
            call(event, "setObservedTsMillis", long.class, System.currentTimeMillis());
            call(event, "setBody", String.class, "body " + number);
            call(event, "setSeverity", String.class, number % 2 == 0 ? "WARN" : "INFO");
            call(event, "setAttribute", String.class, "number", long.class, number);
            call(event, "setAttribute", String.class, "flag", boolean.class, true);
            MetricGroup.class.getMethod("addEvent", type).invoke(group, event);
        } catch (ReflectiveOperationException e) {
            // This version has no events.
        }
    }

    /** Calls a method with one or two arguments, each behind its type. Does nothing if there is no such method. */
    private static void call(Object target, String name, Object... typesAndValues) {
        Class<?>[] types = new Class<?>[typesAndValues.length / 2];
        Object[] values = new Object[types.length];
        for (int i = 0; i < types.length; i++) {
            types[i] = (Class<?>) typesAndValues[2 * i];
            values[i] = typesAndValues[2 * i + 1];
        }
        try {
            target.getClass().getMethod(name, types).invoke(target, values);
        } catch (ReflectiveOperationException e) {
            // This version has no such method.
        }
    }
}
