package io.flinktraces;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.LockSupport;
import org.apache.flink.events.Event;
import org.apache.flink.traces.Span;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** All open reporters of this class loader, their log, and their end with the JVM. */
final class Reporters {
    private static final Logger LOG = LoggerFactory.getLogger(Reporters.class);

    /**
     * The times of a shutdown, in milliseconds from its begin. Flink's own safeguard halts the JVM after 5 s, and a
     * reporter may take a second longer than it should.
     */
    private static final long QUIET_MILLIS = 700;
    private static final long TAKE_UNTIL_MILLIS = 1_700;
    private static final long CLOSE_UNTIL_MILLIS = 3_500;
    private static final long PAUSE_MILLIS = 20;
    /** The time without records after which the thread that passes them on sleeps until one comes. */
    private static final long SILENCE_MILLIS = 1_000;

    private static final Map<Long, Handle> OPEN = new ConcurrentHashMap<>();
    /** The places from which the library was loaded, or could not be. */
    private static final Set<List<Object>> TRIED = new HashSet<>();
    private static boolean isLoaded;

    /** The time at which records were last passed on. */
    private static volatile long lastRecord = System.nanoTime();
    /** The thread that passes records on, and true while it sleeps until one comes. */
    private static volatile Thread flusher;

    private static volatile boolean isAsleep;

    private Reporters() {}

    /** An open reporter. Several of Flink's reporters may share it. */
    static final class Handle {
        private final long number;
        private final Encoder encoder;
        private int users;

        private Handle(long number) {
            this.number = number;
            this.encoder = new Encoder((bytes, from, length, repeated, spans) ->
                    Native.report(number, bytes, from, length, repeated, spans));
        }

        void write(Span span) {
            synchronized (encoder) {
                encoder.write(span);
            }
            wake();
        }

        void write(Event event) {
            synchronized (encoder) {
                encoder.write(event);
            }
            wake();
        }

        private boolean flush() {
            synchronized (encoder) {
                return encoder.flush();
            }
        }

        /** Closes the reporter, unless others of Flink's reporters use it. */
        void close() {
            synchronized (Reporters.class) {
                users--;
                if (users > 0 || OPEN.remove(number) == null) {
                    return;
                }
            }
            flush();
            LOG.info("closed: {}", Native.close(number, CLOSE_UNTIL_MILLIS));
        }
    }

    /** Opens a reporter. Returns null after an error, which is one line of the log. */
    static synchronized Handle open(String signal, String destination, Class<?> factory, Properties options) {
        try {
            if (!load(options)) {
                return null;
            }
            long number = Native.open(request(signal, destination, factory, options));
            if (number == 0) {
                return null;
            }
            Handle handle = OPEN.computeIfAbsent(number, Handle::new);
            handle.users++;
            return handle;
        } catch (Throwable e) {
            LOG.error("cannot open a reporter of {}: {}", factory.getName(), e.toString());
            return null;
        }
    }

    private static boolean load(Properties options) {
        if (isLoaded || !TRIED.add(Library.place(options))) {
            return isLoaded;
        }
        try {
            Library.load(options);
        } catch (Throwable e) {
            LOG.error("flink-traces reports nothing, because its native library cannot be loaded: {}", e.toString());
            return false;
        }
        isLoaded = true;
        start(Reporters::log, "flink-traces-log");
        flusher = start(Reporters::flushAlways, "flink-traces-flush");
        // Flink does not close reporters. The hook also keeps this class and its library loaded.
        Runtime.getRuntime().addShutdownHook(new Thread(Reporters::shutDown, "flink-traces-shutdown"));
        return true;
    }

    private static Thread start(Runnable work, String name) {
        Thread thread = new Thread(work, name);
        thread.setDaemon(true);
        thread.setContextClassLoader(null);
        thread.start();
        return thread;
    }

    /** Passes records on every {@code PAUSE_MILLIS} while they come, so that no caller pays for a native call. */
    private static void flushAlways() {
        while (true) {
            try {
                pause();
                if (flushAll() || millisSince(lastRecord) < SILENCE_MILLIS) {
                    continue;
                }
                isAsleep = true;
                // The caller of an earlier record could not see that.
                if (flushAll()) {
                    isAsleep = false;
                }
                while (isAsleep) {
                    LockSupport.park(OPEN);
                }
            } catch (Throwable e) {
                LOG.warn("cannot pass on records: {}", e.toString());
            }
        }
    }

    private static boolean flushAll() {
        boolean hadRecords = false;
        for (Handle handle : OPEN.values()) {
            hadRecords |= handle.flush();
        }
        if (hadRecords) {
            lastRecord = System.nanoTime();
        }
        return hadRecords;
    }

    /** Wakes the thread that passes records on. Called after a record was encoded. */
    private static void wake() {
        if (isAsleep) {
            isAsleep = false;
            LockSupport.unpark(flusher);
        }
    }

    /** Returns the request as a list of texts. YAML values need not be strings. */
    private static byte[] request(String signal, String destination, Class<?> factory, Properties options) {
        List<String> texts = new ArrayList<>();
        texts.add(signal);
        texts.add(destination);
        texts.add(factory.getName());
        texts.add(String.valueOf(isFiltered()));
        options.forEach((key, value) -> {
            texts.add(String.valueOf(key));
            texts.add(String.valueOf(value));
        });
        ByteArrayOutputStream request = new ByteArrayOutputStream();
        for (String text : texts) {
            byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
            int length = utf8.length + 1;
            for (; (length & ~0x7f) != 0; length >>>= 7) {
                request.write(length | 0x80);
            }
            request.write(length);
            request.write(utf8, 0, utf8.length);
        }
        return request.toByteArray();
    }

    /** Returns true if Flink applies filters and variables to spans, as it does since 2.1. */
    private static boolean isFiltered() {
        try {
            Class.forName("org.apache.flink.metrics.Reporter");
            return true;
        } catch (ClassNotFoundException e) {
            return false;
        }
    }

    /** Takes records until they stop, because Flink reports while it shuts down. Then closes all reporters at once. */
    private static void shutDown() {
        long start = System.nanoTime();
        long last = lastRecord;
        while (millisSince(start) < TAKE_UNTIL_MILLIS && millisSince(last - start > 0 ? last : start) < QUIET_MILLIS) {
            pause();
            last = lastRecord;
        }
        List<Thread> closing = new ArrayList<>();
        synchronized (Reporters.class) {
            for (Handle handle : OPEN.values()) {
                Thread thread = new Thread(() -> close(handle, start), "flink-traces-close-" + handle.number);
                thread.setDaemon(true);
                thread.start();
                closing.add(thread);
            }
        }
        for (Thread thread : closing) {
            join(thread, start);
        }
    }

    /** Closes a reporter. The account goes to standard error, because the log may have ended. */
    private static void close(Handle handle, long start) {
        handle.flush();
        String account = Native.close(handle.number, Math.max(0, CLOSE_UNTIL_MILLIS - millisSince(start)));
        if (account != null) {
            System.err.println("flink-traces: " + account);
        }
    }

    private static void pause() {
        try {
            Thread.sleep(PAUSE_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void join(Thread thread, long start) {
        try {
            thread.join(Math.max(1, CLOSE_UNTIL_MILLIS + 1_000 - millisSince(start)));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static long millisSince(long nanos) {
        return (System.nanoTime() - nanos) / 1_000_000;
    }

    /** Writes the lines of the native side to Flink's log. A line is a level, a logger, a tab and a text. */
    private static void log() {
        while (true) {
            try {
                String line = Native.log(60_000);
                if (line != null) {
                    int tab = line.indexOf('\t');
                    Logger logger = LoggerFactory.getLogger(line.substring(1, tab).replace("::", "."));
                    write(logger, line.charAt(0), line.substring(tab + 1));
                }
            } catch (Throwable e) {
                // The next line may be fine. Without a pause, a lasting error would use up a processor.
                pause();
            }
        }
    }

    private static void write(Logger logger, char level, String text) {
        switch (level) {
            case 'E':
                logger.error("{}", text);
                break;
            case 'W':
                logger.warn("{}", text);
                break;
            case 'D':
                logger.debug("{}", text);
                break;
            case 'T':
                logger.trace("{}", text);
                break;
            default:
                logger.info("{}", text);
        }
    }
}
