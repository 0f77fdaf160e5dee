package io.flinktraces;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.traces.Span;

/** A span of a test, whose attributes have an order. */
public final class Node implements Span {
    public final Map<String, Object> attributes = new LinkedHashMap<>();
    public final List<Span> children = new ArrayList<>();
    private final String scope;
    private final String name;
    private final long start;
    private final long end;

    public Node(String scope, String name, long start, long end) {
        this.scope = scope;
        this.name = name;
        this.start = start;
        this.end = end;
    }

    @Override
    public String getScope() {
        return scope;
    }

    @Override
    public String getName() {
        return name;
    }

    @Override
    public long getStartTsMillis() {
        return start;
    }

    @Override
    public long getEndTsMillis() {
        return end;
    }

    @Override
    public Map<String, Object> getAttributes() {
        return attributes;
    }

    @Override
    public List<Span> getChildren() {
        return children;
    }
}
