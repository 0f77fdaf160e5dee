//! Keeps the library mapped for as long as the process runs.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The threads of the library go on if the JVM unloads the class loader that loaded it.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
