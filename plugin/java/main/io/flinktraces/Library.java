package io.flinktraces;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Properties;

/** The native library, which is in the jar of this class. */
final class Library {
    /** A directory to unpack the library to, for a temporary directory without execution. */
    private static final String DIRECTORY = "library.directory";
    /** The path of a library that is unpacked already. */
    private static final String PATH = "library.path";

    private Library() {}

    /** Returns the options that decide from where the library is loaded. */
    static List<Object> place(Properties options) {
        return Arrays.asList(options.get(PATH), options.get(DIRECTORY));
    }

    /**
     * Loads the library into the class loader of this class.
     *
     * @throws IOException if the library cannot be unpacked
     * @throws UnsatisfiedLinkError if there is none for this platform, or the JVM refuses it
     */
    static void load(Properties options) throws IOException {
        Object path = options.get(PATH);
        if (path != null) {
            System.load(Paths.get(path.toString()).toAbsolutePath().toString());
            return;
        }
        String name = name(System.getProperty("os.name"), System.getProperty("os.arch"), isMusl());
        try (InputStream content = name == null ? null : Library.class.getResourceAsStream('/' + name)) {
            if (content == null) {
                String platform = System.getProperty("os.name") + ", " + System.getProperty("os.arch");
                throw new UnsatisfiedLinkError(
                        "the jar has no library for this platform (" + platform + (isMusl() ? ", musl" : "") + ")");
            }
            // The JVM loads a path only once, even for different class loaders.
            Path file = temporary(options.get(DIRECTORY), name.substring(name.lastIndexOf('.')));
            try {
                Files.copy(content, file, StandardCopyOption.REPLACE_EXISTING);
                System.load(file.toAbsolutePath().toString());
            } finally {
                Files.deleteIfExists(file);
            }
        }
    }

    private static Path temporary(Object directory, String suffix) throws IOException {
        if (directory == null) {
            return Files.createTempFile("flink-traces-", suffix);
        }
        return Files.createTempFile(Files.createDirectories(Paths.get(directory.toString())), "flink-traces-", suffix);
    }

    /** Returns the name of the library of a platform, in the style of RocksDB; null if there is none. */
    static String name(String system, String architecture, boolean isMusl) {
        boolean isIntel = architecture.equals("amd64") || architecture.equals("x86_64");
        boolean isArm = architecture.equals("aarch64") || architecture.equals("arm64");
        if (!isIntel && !isArm) {
            return null;
        }
        String lower = system.toLowerCase(Locale.ROOT);
        if (lower.startsWith("linux")) {
            return "libflinktraces-linux" + (isIntel ? "64" : "-aarch64") + (isMusl ? "-musl" : "") + ".so";
        }
        return lower.startsWith("mac") ? "libflinktraces-osx-" + (isIntel ? "x86_64" : "arm64") + ".jnilib" : null;
    }

    private static boolean isMusl() {
        String[] loaders = new File("/lib").list((folder, name) -> name.startsWith("ld-musl-"));
        return loaders != null && loaders.length > 0;
    }
}
