package io.flinktraces;

import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.flink.events.Event;

/** An event of a test, whose attributes have an order. */
public final class Happening implements Event {
    public final Map<String, Object> attributes = new LinkedHashMap<>();
    private final String scope;
    private final String name;
    private final long observed;
    private final String body;
    private final String severity;

    public Happening(String scope, String name, long observed, String body, String severity) {
        this.scope = scope;
        this.name = name;
        this.observed = observed;
        this.body = body;
        this.severity = severity;
    }

    @Override
    public long getObservedTsMillis() {
        return observed;
    }

    @Override
    public String getName() {
        return name;
    }

    @Override
    public String getClassScope() {
        return scope;
    }

    @Override
    public String getBody() {
        return body;
    }

    @Override
    public String getSeverity() {
        return severity;
    }

    @Override
    public Map<String, Object> getAttributes() {
        return attributes;
    }
}
