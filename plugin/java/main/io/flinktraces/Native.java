package io.flinktraces;

/** The methods of the native side. They are defined in {@code lib.rs}. */
final class Native {
    private Native() {}

    /** Opens a reporter. Returns its handle, or 0 after an error, which is in the log. */
    static native long open(byte[] request);

    /** Appends bytes of a record, as {@link Encoder.Output#write} does. */
    static native void report(long handle, byte[] bytes, int from, int length, int repeated, int spans);

    /** Closes a reporter, and returns its account; null if it was closed before. */
    static native String close(long handle, long millis);

    /** Waits for a line of the log; null if there is none within the time limit. */
    static native String log(long millis);
}
